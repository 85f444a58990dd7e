# frozen_string_literal: true

require_relative "support/probes"
require_relative "../command/support/obedient_program"

RSpec.describe "a push with a probe" do
  include Probes

  after { FileUtils.rm_f(app.root.join("storage/new.sqlite3")) }

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    context named do
      running_app(ItemsServer, journal_mode: mode)

      before do
        expect(push("good")).to be_ok
        settled
      end

      {"auto" => "renamed", "always" => "in place"}.each do |in_place, way|
        it "goes back if the probe fails, #{way}, and a rollback undoes that" do
          write = "curl -s -d name=meanwhile http://127.0.0.1:#{app.port}/ > /dev/null; echo no items; exit 3"
          pushed = probed(write, "--in-place=#{in_place}")

          expect_rolled_back(pushed, "exited with 3: no items", kept: %w[new meanwhile])
          expect(record.last(2).map { |entry| entry["way"] }).to eq Array.new(2) { (in_place == "auto") ? HotswapCommand::BY : "in_place" }
          expect(record.last["held_ms"]).to be > 0
          expect(rollback("--in-place=#{in_place}")).to be_ok
          expect(app.version).to eq "new meanwhile"
        end
      end

      it "goes back into the file, if another program keeps that open" do
        shell = Stranger.ruby(app.database_path)
        expect(shell.ask("SELECT name FROM items")).to eq "good"

        expect_rolled_back(probed("exit 1"), "exited with 1")
        expect(shell.ask("SELECT name FROM items")).to eq "good"
      end
    end
  end

  context "in WAL mode" do
    running_app(ItemsServer)

    before do
      expect(push("good")).to be_ok
      settled
    end

    it "stays if a command succeeds, which runs in the user's folder and finds both databases" do
      pushed = probed(%(test -e config.ru && sqlite3 "$HOTSWAP_DATABASE" "SELECT name FROM items" > seen && sqlite3 "$HOTSWAP_DATABASE.previous" "SELECT name FROM items" >> seen))

      expect(pushed).to be_ok
      expect(app.root.join("seen").read).to eq "new\ngood\n"
      expect(app.version).to eq "new"
      expect(items(1)).to eq %w[good]
      expect(record.last).to include("event" => "push")
      expect(rollback).to be_ok
      expect(app.version).to eq "good"
    end

    it "goes back if the command takes too long, which ends with all that it has started" do
      expect_rolled_back(probed("sleep 600 & echo $! > child; wait", timeout: 0.5), "took longer than 0.5 s")
      expect(ServerProcess.command_line(app.root.join("child").read.to_i)).not_to include "sleep"
    end

    it "goes back if a URL cannot be reached, is not found, or keeps failing" do
      dead = ReservedPort.new.tap(&:release).number
      expect_rolled_back(probed("http://127.0.0.1:#{dead}/up", timeout: 0.6), %r{GET http://127\.0\.0\.1:#{dead}/up: .*refused})
      with_site("404 Not Found") { |url| expect_rolled_back(probed(url), "GET #{url}: answered with 404 Not Found") }
      with_site("500 Broken") { |url| expect_rolled_back(probed(url, timeout: 0.6), "/up: answered with 500 Broken") }
      expect_rolled_back(probed("http://"), "GET http://: the URL names no host")
    end

    it "stays if a URL answers, after an error or with a redirect, too" do
      expect(probed("http://localhost:#{app.port}/")).to be_ok
      with_site("503 Booting", "302 Found") { |url| expect(probed(url)).to be_ok }
      expect(app.version).to eq "new"
    end

    it "asks a URL as its name and password say, with the scheme in capitals, and does not wait for the end of the body" do
      with_answers(->(request) { request.include?("Authorization: Basic #{["me:p@ss"].pack("m0")}\r\n") ? "200 OK" : "401 Unauthorized" }) do |url|
        expect_rolled_back(probed(url), "answered with 401 Unauthorized")
        expect(probed(url.sub("http://", "HTTP://me:p%40ss@"), timeout: 5)).to be_ok
      end
    end

    it "shows no password of a URL" do
      pushed = probed("http://me:p4ssw0rd@127.0.0.1:1/up", "--json", timeout: 0.3)
      settled
      told = [pushed.stdout, pushed.stderr, app.log, *Dir.glob("#{app.database_path}.hotswap.log*").map { |file| File.read(file) }]

      expect(pushed.stdout.force_encoding("UTF-8")).to include("http://me:…@127.0.0.1")
      expect(told.map { |text| text.dup.force_encoding("UTF-8") }.join.scan(/.*p4ssw0rd.*/)).to eq []
    end

    it "takes no longer than it may if a URL answers a byte at a time" do
      with_answers(->(_) {}) do |url|
        begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        expect_rolled_back(probed(url, timeout: 0.6), "GET http://127.0.0.1:.*ReadTimeout")
        expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun).to be < 5
      end
    end

    it "is told by --json, status and log" do
      pushed = start_probed("--json", "--label", "v2") do |running|
        status = JSON.parse(app.hotswap("status", "--json").stdout)["databases"].first
        expect(status["commands"]).to match [include("command" => "push", "phase" => "probing")]
        expect(status["last_push"]).to include("event" => "push", "label" => "v2")
        stop_probe
        running.wait
      end

      expect(JSON.parse(pushed.stdout)).to include("command" => "push", "way" => HotswapCommand::BY, "exit_status" => 7, "error" => /the probe failed/)
      expect(app.hotswap("log", "-n", "1").stdout).to match(/rollback.*the probe failed: .* exited with 1/m)
      expect(JSON.parse(app.hotswap("status", "--json").stdout)["databases"].first["last_push"]).to include("event" => "rollback")
      eventually { expect(app.log).to match(/WARN.*the probe failed, rolling back/) }
    end

    it "lets others wait for its end" do
      start_probed do |running|
        expect(app.hotswap("rollback", "--timeout=0.1")).to have_attributes(exit_code: 4, stderr: /is swapping this database/)
        waiting = app.start_hotswap("rollback")
        stop_probe
        expect(running.wait).to have_attributes(exit_code: 7)
        expect(waiting.wait).to be_ok
      end
      expect(app.version).to eq "new"
    end

    {KILL: "loses its client", INT: "is interrupted with Ctrl-C"}.each do |signal, named|
      it "goes back all the same if it #{named}" do
        start_probed do |running|
          running.kill(signal)
          running.wait
        end

        settled
        expect_back
      end
    end

    it "stays if its worker is killed, and the record and the message say so" do
      start_probed do |running|
        Process.kill(:KILL, hotswap_worker)
        expect(running.wait).to have_attributes(exit_code: 5, stderr: /the new content is in place, but the worker was killed before it reported the outcome of the probe/)
      end

      expect(app.version).to eq "new"
      expect(items(1)).to eq %w[good]
      expect(record.last).to include("event" => "push")
      expect(push("next")).to be_ok
      expect(items(1)).to eq %w[new]
    end

    it "goes back when a process that has opened the previous version closes it, and names it if it does not" do
      ready = "sqlite3 $HOTSWAP_DATABASE.previous 'SELECT name FROM items' > started"
      start_probed("--timeout=1", probe: "#{ready}; until test -e stop; do sleep 0.02; done; exit 1") do |running|
        shell = Stranger.ruby(version(1))
        expect(shell.ask("SELECT name FROM items")).to eq "good"
        stop_probe
        expect(running.wait).to have_attributes(exit_code: 5, stderr: /the rollback failed, too: .*app\.sqlite3\.previous is open in #{Project.linux? ? "process #{shell.pid}" : "a process"}.* To go back, run hotswap rollback$/)
        expect(app.version).to eq "new"
        expect(record.last).to include("event" => "failed", "command" => "rollback")
        shell.stop
      end

      expect(rollback).to be_ok
      expect(app.version).to eq "good"
    end

    it "says nothing of another rollback if that cannot help" do
      pushed = probed(%(rm "$HOTSWAP_DATABASE.previous"; exit 1))

      expect(pushed).to have_attributes(exit_code: 5, stderr: /the rollback failed, too: there is no previous version .* push a backup$/)
      expect(app.version).to eq "new"
    end

    it "does not use the guards of the push for the rollback" do
      identity = app.hotswap("cp", Versions::LIVE, "pulled.sqlite3").stderr[/\h{32}/]

      expect_rolled_back(probed("exit 1", "--if-match", identity, "--if-changed", "--max-shrink=90%"), "exited with 1")
    end

    it "puts the rows of some tables back, and keeps what was written to others" do
      wide = "#{ItemsServer::SCHEMA}; CREATE TABLE others (id INTEGER PRIMARY KEY)"
      live = app.file("storage/new.sqlite3", wide, %w[good])
      expect(app.hotswap("cp", "--skip-schema-check", live, Versions::LIVE)).to be_ok
      file = app.file("storage/new.sqlite3", wide, %w[new])
      write = %(sqlite3 "$HOTSWAP_DATABASE" "SELECT name FROM items; INSERT INTO others VALUES (7)"; exit 1)
      pushed = app.hotswap("cp", "--only", "items", "--probe", write, file, Versions::LIVE)

      expect(pushed).to have_attributes(exit_code: 7, stderr: /^ERROR: the probe failed: .* exited with 1: new\. The previous version of .* is back in use\. The pushed rows are in \S+\.previous$/)
      expect(app.version).to eq "good"
      expect(TestDatabase.read(app.database_path) { |db| db.execute("SELECT id FROM others") }).to eq [[7]]
      expect(rollback).to be_ok
      expect(app.version).to eq "new"
      expect(app.hotswap("cp", "--only", "items", "--probe", "exit 1", file, Versions::LIVE)).to be_ok # nothing to write
      expect(app.hotswap("cp", "--skip-schema-check", offer("good"), Versions::LIVE)).to be_ok
    end

    it "is not swapped if the probe is empty, and runs none in a dry run, or if nothing is swapped" do
      expect(untouched { probed("") }).to have_attributes(exit_code: 2, stderr: /--probe .*empty, probably because of an unset shell variable/)
      expect(untouched { probed("localhost:3000/up") }).to have_attributes(exit_code: 2, stderr: /--probe .*Put http:\/\/ or https:\/\/ before it/)
      expect(untouched { probed("exit 1", "--dry-run") }).to be_ok
      expect(untouched { push("good", options: ["--probe", "exit 1", "--if-changed"]) }).to be_ok
      expect(app.hotswap("cp", "previous:database", "database", "--probe", "true")).to have_attributes(exit_code: 2, stderr: /--probe is for a push, and this is a rollback/)
    end

    it "raises Hotswap::RolledBack in Ruby" do
      program = ObedientProgram.new(app.root, database: "storage/app.sqlite3")
      push = %(begin; Hotswap.push(#{offer("new").inspect}, probe: "exit 1", probe_timeout: 20); rescue Hotswap::RolledBack => error; [error.code, error.message]; end)

      expect(program.tell(push)).to match ["rolled_back", /\Athe probe failed: exit 1 exited with 1\. The previous version/]
      expect_back
    end
  end

  context "with config.probe, and keep = 0" do
    # The block does what the file "answer" says.
    block = <<~RUBY
      config.probe do |database|
        answer = File.exist?("answer") ? File.read("answer") : "yes"
        sleep if answer == "late"
        raise IOError, "no cache" if answer == "raise"
        answer == "yes" && database.path.end_with?("app.sqlite3")
      end
    RUBY
    running_app(ItemsServer, settings: "#{block}; config.keep = 0; config.probe_timeout = 0.5; Hotswap.register('storage/first.sqlite3')")

    after { FileUtils.rm_f(app.root.join("answer")) }

    it "keeps the previous version only while the probe runs" do
      expect(push("new")).to be_ok
      expect(versions).to eq []
    end

    {"no" => "returned false", "raise" => "raised IOError: no cache", "late" => "took longer than 0.5 s"}.each do |answer, why|
      it "goes back if the block #{why}" do
        expect(push("good")).to be_ok
        app.write("answer", answer)

        expect_rolled_back(push("new"), "config.hotswap.probe #{why}")
      end
    end

    it "runs --probe instead of the block" do
      app.write("answer", "no")
      expect(probed("true")).to be_ok
    end

    it "stays if there was no database before, or an empty one" do
      first = app.root.join("storage/first.sqlite3").to_s
      app.write("answer", "no")
      2.times do
        pushed = app.hotswap("cp", offer("new"), "storage/first.sqlite3")
        expect(pushed).to have_attributes(exit_code: 5, stderr: /the probe failed: config\.hotswap\.probe returned false\. The pushed database stays in use, because storage.first\.sqlite3 had no content before/)
        expect(names_in(first)).to eq %w[new]
        settled
        File.truncate(first, 0)
        FileUtils.rm_f(["#{first}-wal", "#{first}-shm"])
      end
    ensure
      FileUtils.rm_f(Dir["#{first}*"])
    end
  end

  context "in cluster mode" do
    running_app(ItemsServer, workers: 2)

    it "moves every process back" do
      expect(push("good")).to be_ok
      expect_rolled_back(probed("curl -s http://127.0.0.1:#{app.port}/ | grep new; exit 1"), "exited with 1: new")
      expect(Array.new(20) { app.version }.uniq).to eq %w[good]
    end
  end
end
