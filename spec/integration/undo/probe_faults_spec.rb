# frozen_string_literal: true

require_relative "support/probes"
require_relative "../crash/support/watched_server"

# worker/push/trial.rs: the rollback is an ordinary one, by the worker that has made the push.
RSpec.describe "a push whose probe fails" do
  include Probes

  describe "if the rollback meets trouble", :slow do
    watched_app

    # What the worker does after it has recorded the push.
    def steps_of_the_rollback
      calls = app.calls.traced { expect(probed("exit 1").exit_code).to eq 7 }
      settled
      steps = SystemCalls.steps(calls).select { |step| step.program == "worker" }
      steps.drop(steps.rindex { |step| step.call == "rename" && step.file == "app.sqlite3.previous" })
        .select { |step| %w[rename link fsync report].include?(step.call) }.uniq { |step| [step.call, step.file] }
    end

    def good_again
      expect(push("good")).to be_ok
      settled
    end

    # Both databases are there, whole, and the application serves one of them.
    def expect_both(pushed)
      recovered = app.hotswap("rollback")
      expect(recovered).to be_ok, -> { "#{pushed.stderr}\n#{recovered.stderr}" }
      expect([app.names, items(1)].map(&:first)).to match_array %w[good new]
      expect([app.database_path, version(1)].map { |file| TestDatabase.integrity(file) }).to eq %w[ok ok]
    end

    # This is about a rename. In place, the worker copies the version after the commit, and a fault there costs the
    # version, with a warning.
    it "has both databases, whichever is live, if its worker is killed at any step", :linux do
      good_again
      steps = steps_of_the_rollback
      expect(steps.map(&:call).uniq).to include("rename", "link", "fsync")
      chance = Random.new(RSpec.configuration.seed)
      steps.each do |step|
        good_again
        pushed = app.calls.with(step, %i[killed_before killed_after].sample(random: chance)) { probed("exit 1") }
        settled
        expect_both(pushed)
      end
    end

    it "has both databases, and says which one is live, if a call fails", :linux do
      good_again
      steps_of_the_rollback.reject { |step| step.call == "report" }.each do |step|
        good_again
        pushed = app.calls.with(step, :EIO) { probed("exit 1") }
        settled
        live = app.names.first
        expect([pushed.exit_code, live]).to eq([7, "good"]).or(eq([5, "new"])).or(eq([5, "good"])), -> { "#{step}: #{pushed.exit_code}, #{live}, #{pushed.stderr}" }
        expect(pushed.stderr).to match(/the pushed database stays in use, because the rollback failed/i) if live == "new"
        expect_both(pushed)
      end
    end
  end

  describe "on a disk that fills up", lane: "default" do
    app_on_small_disk(ItemsServer, 72)

    def fill = "dd if=/dev/zero of=#{filler} bs=1M 2> /dev/null"

    # About 10 MB, in the folder above that disk.
    def copy(name, *options)
      path = app.file("#{name}.sqlite3", ItemsServer::SCHEMA, [name])
      SQLite3::Database.new(path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(5000000)))") }
      app.hotswap("cp", *options, path, Versions::LIVE).tap { settled }
    end

    def held = [app.database_path, version(1)].map { |file| names_in(file).first }

    it "goes back by a rename, which needs no room", :linux do
      expect(copy("good")).to be_ok
      expect(copy("new", "--probe", "#{fill}; exit 1")).to have_attributes(exit_code: 7)
      FileUtils.rm_f(filler) # SQLite needs room even to read
      expect(held).to eq %w[good new]
    end

    it "stays if a rollback in place has no room, and goes back when there is some" do
      expect(copy("good")).to be_ok
      FileUtils.rm_f(version(1))
      pushed = copy("new", "--in-place=always", "--probe", "#{fill}; exit 1")
      expect(pushed).to have_attributes(exit_code: 5, stderr: /the pushed database stays in use, because the rollback failed, too: .* needs \d+ MB plus a reserve/i)
      FileUtils.rm_f(filler) # SQLite needs room even to read
      expect(held).to eq %w[new good]

      expect(rollback("--in-place=always")).to be_ok
      settled
      expect(held).to eq %w[good new]
    end

    it "is refused in place, before it writes, if it could not keep the previous version" do
      expect(copy("good")).to be_ok
      FileUtils.rm_f(version(1))
      leave 38_000_000
      refused = copy("new", "--in-place=always", "--probe", "exit 1")
      expect(refused).to have_attributes(exit_code: 3, stderr: /^ERROR: a push with a probe needs the previous version of .*, and hotswap cannot keep it: .* needs \d+ MB plus a reserve/)
      expect(names_in(app.database_path).first).to eq "good"
    end
  end
end
