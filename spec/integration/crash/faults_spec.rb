# frozen_string_literal: true

require_relative "support/trouble"

# Most rows of the table depend on three rules: a staged file removes itself (staged.rs and target.rs, Drop); the worker
# does not touch the live database before it has the exclusive fence (push/replace.rs, run); and an error after the
# rename neither hides the rename nor lets SQLite close the replaced file (push/replace.rs, the last match).
RSpec.describe "a command whose system calls fail", :slow, lane: "default" do
  watched_app(schema: WatchedServer::NOTING)

  {push: "a push", overwrite: "a push in place", push_items: "a push of some tables", undo: "a rollback", pull: "a pull"}.each do |command, named|
    it "leaves the old or the new database and open gates, and gives a reason, if any call of #{named} fails", timeout: 240 do
      chance = Random.new(RSpec.configuration.seed)
      expect_no_violation(command) do |trouble, steps|
        core(steps, Trouble::CORE.fetch(command)).each { |step| trouble.meet(step, Trouble::FAULTS.fetch(step.call).sample(random: chance)) }
      end
    end

    it "leaves the old or the new database, and no files after the next push, if it is killed in #{named}", timeout: 240 do
      chance = Random.new(RSpec.configuration.seed)
      expect_no_violation(command) do |trouble, steps|
        core(steps, Trouble::LAST_CALLS.fetch(command)).each { |step| trouble.meet(step, %i[killed_before killed_after].sample(random: chance)) }
      end
    end

    it "does so for each call of #{named} and each error", :thorough, timeout: 3600 do
      expect_no_violation(command) do |trouble, steps|
        steps.each { |step| Trouble::FAULTS.fetch(step.call).each { |error| trouble.meet(step, error) } }
      end
    end

    it "does so if the error persists, in #{named}", :thorough, timeout: 3600 do
      expect_no_violation(command) do |trouble, steps|
        steps.select { |step| step.nth == 1 }.each do |step|
          (Trouble::FAULTS.fetch(step.call) & Trouble::LASTING).each { |error| trouble.meet(step, error, lasting: true) }
        end
      end
    end

    it "does so if it is killed before or after any call of #{named}", :thorough, timeout: 3600 do
      expect_no_violation(command) do |trouble, steps|
        steps.product(%i[killed_before killed_after]).each { |step, how| trouble.meet(step, how) }
      end
    end
  end

  # In place, SQLite writes a journal and then the file itself. An error after the journal is gone comes after the
  # commit (in_place/backup.rs, `not_committed`).
  it "leaves the old or the new database and open gates, and gives a reason, if a call for the rollback journal fails" do
    chance = Random.new(RSpec.configuration.seed)
    expect_no_violation(:overwrite, keep(WatchedServer.start(journal_mode: "delete"))) do |trouble, steps|
      core(steps, Trouble::CORE.fetch(:rollback)).each { |step| trouble.meet(step, Trouble::FAULTS.fetch(step.call).sample(random: chance)) }
    end
  end

  it "does so for each call of a push in place and each error, with a rollback journal", :thorough, timeout: 3600 do
    expect_no_violation(:overwrite, keep(WatchedServer.start(journal_mode: "delete"))) do |trouble, steps|
      steps.each { |step| Trouble::FAULTS.fetch(step.call).each { |error| trouble.meet(step, error) } }
    end
  end

  # direct_io.rs, Way.
  it "pulls from a disk that refuses direct I/O", :linux do
    expect_no_violation(:pull) do |trouble, steps|
      refusing, writing = ["past_cache nameless", "write nameless"].map { |call| core(steps, [call]).first }
      %i[EINVAL EPERM].each { |error| trouble.meet(refusing, error) }
      trouble.meet(writing, :EINVAL)
      expect(trouble.outcomes.map { |outcome| [outcome.state, outcome.exit_code] }).to all eq [:new, 0]
    end
  end

  it "pulls from a disk that accepts only half of a write" do
    expect_no_violation(:pull) do |trouble, steps|
      writing = core(steps, [Project.linux? ? "write nameless" : "write part"]).first
      [false, true].each { |lasting| trouble.meet(writing, :short, lasting: lasting) }
      expect(trouble.outcomes.map { |outcome| [outcome.state, outcome.exit_code] }).to all eq [:new, 0]
    end
  end

  # target.rs: the target might not be a file, and its mode would be lost.
  it "refuses a target that it cannot stat" do
    expect_no_violation(:pull) do |trouble, steps|
      before_the_draft = steps.take_while { |step| step.to_s != "client: opendir folder" }
      looking = before_the_draft.reverse.find { |step| step.to_s.start_with?("client: stat backup.sqlite3") }
      %i[EIO EACCES].each { |error| trouble.meet(looking, error) }
      expect(trouble.outcomes.map { |outcome| [outcome.state, outcome.exit_code] }).to all eq [:old, 3]
    end
  end

  # server/session.rs, sweep.
  it "leaves no files after the next boot" do
    before = Untouched.listing(app.root.join("storage"))
    step = SystemCalls::Step.new("worker", "fsync", "staged", 1)
    expect(app.calls.with(step, :killed_before) { app.push }).to have_attributes(exit_code: 5, stderr: /either the old or the new/)
    expect((Untouched.listing(app.root.join("storage")) - before).size).to eq 2 # the staged file and the report socket

    app.restart

    eventually { expect(Untouched.listing(app.root.join("storage"))).to eq before }
    eventually { expect(app.log.scan("left by a push that died").size).to be >= 2 }
  end

  def expect_no_violation(command, server = app)
    trouble = Trouble.new(server, command)
    yield trouble, trouble.steps
    RSpec.configuration.reporter.message("\n#{trouble.table}".gsub(/^/, "    "))
    expect(trouble.violations).to eq []
  end

  # The first and the last of each of these calls. A call that the shim does not see any more would be left out in silence.
  def core(steps, names)
    made = steps.group_by { |step| "#{step.call} #{step.file}" }
    missing = names - made.keys
    missing.delete("copy_file_range staged") if made.key?("reflink staged")
    raise "the command never made these calls: #{missing.join(", ")}" if missing.any?

    made.slice(*names).values.flat_map { |same| [same.first, same.last].uniq }
  end
end
