# frozen_string_literal: true

require_relative "support/versions"
require_relative "../crash/support/watched_server"

# A program without the gem keeps the file open, so hotswap writes into it.
RSpec.describe "the previous version of a database that keeps its file" do
  include Versions

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(ItemsServer, journal_mode: mode)

      it "is the state before the commit, and a rollback writes it back" do
        shell = Stranger.ruby(app.database_path)
        expect(shell.ask("SELECT count(*) FROM items")).to match(/\A\d+\z/)
        app.post("/", name: "written-last-#{mode}")
        before = app.version.split
        inode = File.stat(app.database_path).ino

        rows = ["new-#{mode}"] + Array.new(50) { |number| "row-#{number}" }
        pushed = push(*rows)
        expect(pushed).to be_ok
        expect(pushed.stderr).to include HotswapCommand.in_place_beside(shell.pid)
        expect(items(1)).to eq before
        expect(TestDatabase.integrity(version(1))).to eq "ok"
        expect(File.stat(version(1))).to have_attributes(mode: File.stat(app.database_path).mode, uid: File.stat(app.database_path).uid)
        app.post("/", name: "since-then")

        expect(rollback).to be_ok
        expect(app.version.split).to eq before
        expect(shell.ask("SELECT count(*) FROM items")).to eq before.size.to_s
        expect(items(1)).to eq [*rows, "since-then"]
        expect(File.stat(app.database_path).ino).to eq inode
        expect(versions).to eq [1]

        expect(rollback).to be_ok
        expect(app.version).to start_with("new-#{mode}").and end_with("since-then")
        expect(items(1)).to eq before
        expect(app.stray_files).to eq []
      end

      it "comes back into the file although its schema is another one" do
        wider = app.file("wider.sqlite3", "#{ItemsServer::SCHEMA.chop}, price REAL)", %w[wide])
        push("narrow")
        expect(app.hotswap("cp", "--in-place=always", "--skip-schema-check", wider, Versions::LIVE)).to be_ok

        expect(rollback("--in-place=always")).to be_ok
        expect(app.version).to eq "narrow"
        expect(items(1)).to eq %w[wide]
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      end
    end
  end

  # worker/push/whole_database.rs: the version has its own name while its copy is written. push/in_place/previous_version.rs:
  # the copy of what was replaced gets its name before the version goes.
  describe "whose rollback is killed" do
    watched_app

    def prepare
      %w[first second].each { |name| expect(push(name)).to be_ok }
      app.add("since")
      settled
    end

    def rollback = app.hotswap("rollback", "--in-place=always")

    def steps
      SystemCalls.steps(app.calls.traced { expect(rollback).to be_ok }).select { |step| step.program == "worker" }
    end

    def killed(how, step)
      prepare
      expect(app.calls.with(step, how) { rollback }.exit_code).not_to eq 0
      settled
    end

    before { prepare }

    it "stays under its own name until the commit" do
      killed(:killed_before, steps.find { |step| step.call.include?("write") && step.file == "app.sqlite3-wal" })
      expect(app.names).to eq %w[second since]
      expect(versions.map { |number| items(number) }).to eq [%w[first]]
      expect(rollback).to be_ok # and removes what the worker left
    end

    it "stays below what was replaced, which the next rollback brings back" do
      killed(:killed_after, steps.reverse.find { |step| step.call == "rename" && step.file.include?("kept") })
      expect(app.names).to eq %w[first]
      expect(versions.map { |number| items(number) }).to eq [%w[second since], %w[first]]
      expect(rollback).to be_ok
      expect(app.names).to eq %w[second since]
      expect(items(1)).to eq %w[first]
    end
  end

  # disk/staged.rs, `become_version`: the copy is complete, and the older version has just made room for it.
  describe "whose push is killed while the older versions move down" do
    watched_app

    def overwrite(name) = app.offer(name) && app.overwrite

    it "is not lost" do
      %w[first second].each { |name| expect(overwrite(name)).to be_ok }
      settled
      steps = SystemCalls.steps(app.calls.traced { expect(overwrite("third")).to be_ok }).select { |step| step.program == "worker" }
      settled
      moves = steps.find { |step| step.call == "rename" && step.file == "app.sqlite3.previous" }

      expect(app.calls.with(moves, :killed_after) { overwrite("fourth") }.exit_code).not_to eq 0
      settled
      expect(app.names).to eq %w[fourth]
      expect(app.hotswap("rollback", "--in-place=always")).to be_ok
      expect(app.names).to eq %w[third]
    end
  end
end
