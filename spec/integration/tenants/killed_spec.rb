# frozen_string_literal: true

require_relative "../crash/support/watched_tenants"

# Nothing has to be undone after a kill, as for any other database (crash/faults_spec). Another tenant notices nothing.
RSpec.describe "a push to one tenant whose worker is killed", :slow, lane: "default" do
  before(:context) do
    skip "no C compiler here makes the library that stands in between" unless SystemCalls.available?
    @app = WatchedTenants.start
  end

  after(:context) { @app&.tear_down }

  attr_reader :app

  # The steps of the worker of this push.
  def steps
    calls = app.calls.traced do
      pushed = app.push
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
      eventually { app.worker_gone? }
    end
    SystemCalls.steps(calls).select { |step| step.program == "worker" && !(WatchedTenants::POLLED.include?(step.call) && step.nth > WatchedTenants::POLLS) }
  end

  # The last call of each kind that changes something.
  def ends_of(steps) = steps.select { |step| WatchedTenants::CHANGING.include?(step.call) }.group_by { |step| [step.call, step.file] }.values.map(&:last)

  def killed(step, how) = app.calls.with(step, how) { app.push.tap { eventually { app.worker_gone? } } }

  def content(path) = TestDatabase.read(path) { |db| db.execute("SELECT text FROM notes ORDER BY id").flatten.join(",") }

  # Owner and mode, also of the folder.
  def rights(tenant) = [app.tenant_path(tenant), File.dirname(app.tenant_path(tenant))].map { |path| File.stat(path).then { |stat| [stat.mode, stat.uid, stat.gid] } }

  # Asks for acme all the time. Returns the longest wait.
  def while_acme_is_used
    over, file = false, File.stat(app.tenant_path("acme")).ino
    longest = 0
    using = Thread.new do
      until over
        since = Eventually.now
        expect(app.notes("acme")).to eq "of acme"
        longest = [longest, Eventually.now - since].max
        sleep 0.01
      end
    end
    yield
    over = true
    using.join
    expect(File.stat(app.tenant_path("acme")).ino).to eq file
    longest
  ensure
    over = true
  end

  # Kills the worker of a push at each of the steps, and pushes again after each kill.
  # judge: takes the exit status and the pushed content, and returns what is wrong after a kill, or nil.
  # found: returns the content of beta.
  # rest: returns the files that are left and should not be.
  def expect_no_problem(steps, judge:, found:, rest:)
    problems = []
    waited = while_acme_is_used do
      steps.each_with_index do |(step, how), number|
        yield
        app.offer("new #{number}")
        wrong = [judge.call(killed(step, how).exit_code, "new #{number}")]
        app.offer("next #{number}")
        after = app.push
        eventually { app.worker_gone? }
        wrong << "then #{after.stderr}" unless after.success? && found.call == "next #{number}" && rights("beta") == rights("acme")
        wrong << "left behind #{rest.call}" if rest.call.any?
        problems.concat(wrong.compact.map { |what| "#{step}, #{how}: #{what}" })
      end
    end
    RSpec.configuration.reporter.message("        #{steps.size} kills, the other tenant waited for #{(waited * 1000).round} ms at most")
    expect(problems).to eq []
    expect(waited).to be < 1.5
  end

  def expect_old_or_new(steps)
    clean, old = app.listing, nil
    found = -> { app.notes("beta") }
    judge = lambda do |status, new|
      now = found.call
      next "#{now}, after #{old}" unless (status.zero? ? [new] : [old, new]).include?(now)

      "no writes" unless app.post("/tenants/beta", text: "more").status == 201 && found.call == "#{now},more"
    end
    expect_no_problem(steps, judge: judge, found: found, rest: -> { (app.listing - clean).grep_v(/-wal|-shm/) }) { old = found.call }
  end

  def steps_of_a_push
    2.times { |number| app.offer("first #{number}") && app.push }
    app.offer("traced") && steps
  end

  it "leaves the old or the new database, and nothing else after the next push", timeout: 300 do
    chance = Random.new(RSpec.configuration.seed)
    expect_old_or_new(ends_of(steps_of_a_push).map { |step| [step, %i[killed_before killed_after].sample(random: chance)] })
  end

  it "does so before and after each call", :thorough, timeout: 3600 do
    expect_old_or_new(steps_of_a_push.product(%i[killed_before killed_after]))
  end

  context "while it creates the tenant" do
    before { FileUtils.mv(app.root.join(WatchedTenants::WATCHED), app.root.join("aside")) }

    after do
      FileUtils.rm_rf(app.root.join(WatchedTenants::WATCHED))
      FileUtils.mv(app.root.join("aside"), app.root.join(WatchedTenants::WATCHED))
    end

    def expect_none_or_all(steps)
      found = -> { content(app.tenant_path("beta")) }
      judge = lambda do |status, new|
        next ("#{status} without a database" if status.zero?) unless File.exist?(app.tenant_path("beta"))

        "#{found.call}, #{rights("beta")}" if [found.call, rights("beta")] != [new, rights("acme")]
      end
      rest = -> { app.listing.grep_v(/\Amain\.sqlite3(\.hotswap(\.log)?|\.previous|-wal|-shm)?\z/) }
      expect_no_problem(steps, judge: judge, found: found, rest: rest) { FileUtils.rm_rf(app.root.join(WatchedTenants::WATCHED)) }
    end

    def steps_of_a_creation = app.offer("born") && steps

    it "leaves no database or all of it, with the right owner and mode, and nothing else after the next push", timeout: 300 do
      chance = Random.new(RSpec.configuration.seed)
      made = steps_of_a_creation
      expect(made.map(&:to_s)).to include("worker: mkdir folder", "worker: rename staged")
      expect_none_or_all(ends_of(made).map { |step| [step, %i[killed_before killed_after].sample(random: chance)] })
    end

    it "does so before and after each call", :thorough, timeout: 3600 do
      expect_none_or_all(steps_of_a_creation.product(%i[killed_before killed_after]))
    end
  end
end
