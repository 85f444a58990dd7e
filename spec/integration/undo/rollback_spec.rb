# frozen_string_literal: true

require_relative "../crash/support/watched_server"
require_relative "support/versions"
require_relative "../command/support/obedient_program"

RSpec.describe "the previous version, and a rollback to it" do
  include Versions

  running_app(ItemsServer)

  after { FileUtils.rm_f(app.root.join("storage/new.sqlite3")) }

  # A request runs and keeps a rollback waiting while the block runs.
  def rollback_waiting_for_a_request
    request = Thread.new { app.get("/wait") }
    eventually { expect(app.root.join("waits")).to exist }
    waiting = app.start_hotswap("rollback")
    # By then it has read the schema. A rollback by a rename has hidden the version, too.
    eventually { waiting.stderr.include?("Waiting for") }
    yield
    app.write("go-on", "")
    waiting.wait
  ensure
    app.write("go-on", "")
    request&.join
    %w[waits go-on].each { |file| FileUtils.rm_f(app.root.join(file)) }
  end

  # A number on the board: members forget the schema when it changes.
  def schema_generation = File.binread("#{app.database_path}.hotswap", 8, 16).unpack1("Q<")

  it "is what a push replaces, with every write that was acknowledged" do
    app.post("/", name: "written-last")
    before = app.version.split
    expect(push("new")).to be_ok

    expect(items(1)).to eq before
    expect(items(1)).to include "written-last"
    expect(File.stat(version(1)).mode).to eq File.stat(app.database_path).mode
    expect(TestDatabase.integrity(version(1))).to eq "ok"
    expect(versions).to eq [1]
    expect(app.stray_files).to eq []
  end

  it "comes back with hotswap rollback, and again with the next one" do
    push("first")
    app.post("/", name: "written-to-first")
    push("second")
    app.post("/", name: "written-to-second")

    expect(rollback("storage/app.sqlite3")).to be_ok
    expect(app.version).to eq "first written-to-first"
    expect(items(1)).to eq %w[second written-to-second]
    app.post("/", name: "after")

    expect(rollback("storage/app.sqlite3")).to be_ok
    expect(app.version).to eq "second written-to-second"
    expect(items(1)).to eq %w[first written-to-first after]
    expect(versions).to eq [1]
  end

  it "is the only database's if no name is given, and is logged" do
    push("for-the-log")
    push("on-top")

    result = rollback("--json", "--label", "back")
    expect(JSON.parse(result.stdout)).to include("command" => "rollback", "way" => HotswapCommand::BY, "exit_status" => 0)
    expect(app.version).to eq "for-the-log"
    eventually { expect(app.log).to include("command: rollback --label=back", "rollback started: storage/app.sqlite3", "rollback complete: storage/app.sqlite3") }
  end

  it "needs no schema check, and makes the application forget the schema" do
    wider = app.file("storage/wider.sqlite3", "#{ItemsServer::SCHEMA.chop}, price REAL)", %w[wide])
    push("narrow")
    expect(app.hotswap("cp", "--skip-schema-check", wider, "storage/app.sqlite3")).to be_ok
    expect(app.version).to eq "wide"

    expect(rollback).to be_ok
    expect(app.version).to eq "narrow"
    expect(rollback).to be_ok
    expect(app.version).to eq "wide"
    expect(rollback).to be_ok
  ensure
    FileUtils.rm_f(wider)
  end

  it "can be pulled, and a wrong name of it is explained" do
    push("to-pull")
    push("live-now")
    copy = app.root.join("pulled.sqlite3").to_s
    live = "storage/app.sqlite3"

    expect(app.hotswap("cp", "previous:#{live}", copy)).to be_ok
    expect(names_in(copy)).to eq %w[to-pull]
    piped = app.hotswap("cp", "previous:database", "-")
    expect(piped).to have_attributes(exit_code: 0)
    expect(piped.stdout.b).to eq File.binread(copy)
    expect(app.hotswap("cp", "previous.2:#{live}", copy)).to have_attributes(exit_code: 3, stderr: /there is no previous version .*app\.sqlite3\.previous\.2 does not exist/)
    ["#{live}.previous", "#{live}.previous-wal", "#{live}.previous.7"].each do |part|
      [[part, live], [live, part]].each do |sides|
        expect(app.hotswap("cp", *sides)).to have_attributes(exit_code: 2, stderr: /is a previous version of the managed database .* hotswap rollback/)
      end
    end
    expect(app.hotswap("cp", "previous:#{live}", live)).to be_ok
    expect(app.version).to eq "to-pull"
    expect(app.root.join("storage").glob("*.previous-*")).to eq []
  end

  it "refuses a version as a destination, and options that it would ignore" do
    push("guarded")
    push("live-now")
    file = offer("not-this")
    calls = {
      ["cp", file, "previous:database"] => /previous:database is a previous version, and a copy cannot replace it/,
      ["cp", "previous:database", "database", "--if-changed"] => /--if-changed is for a push, and this is a rollback/,
      ["cp", "previous:database", "database", "--max-shrink=1%"] => /--max-shrink is for a push/,
      ["cp", "previous:database", "-", "--if-match", "0" * 32] => /--if-match is for a push, and this is a pull/,
      ["rollback", ""] => /DATABASE is empty, probably because of an unset shell variable/,
      ["cp", "previous:", ""] => /DST is empty/
    }

    calls.each { |arguments, why| expect(app.hotswap(*arguments)).to have_attributes(exit_code: 2, stderr: why) }
    expect(app.hotswap("cp", "previous:database", "database", "--if-match", "0" * 32)).to have_attributes(exit_code: 6)
    expect(app.version).to eq "live-now"
  ensure
    FileUtils.rm_f(file)
  end

  it "is a regular file, and not a link or a pipe in its place" do
    push("linked")
    push("live-now")
    settled
    aside = app.root.join("aside.sqlite3").to_s
    File.rename(version(1), aside)
    makers = [-> { File.symlink(aside, version(1)) }, -> { File.mkfifo(version(1)) }, -> { Dir.mkdir(version(1)) }]
    makers.each do |make|
      make.call
      [["rollback"], ["cp", "previous:database", "-"]].each do |arguments|
        expect(app.hotswap(*arguments)).to have_attributes(exit_code: 3, stderr: /app\.sqlite3\.previous is not a regular file/)
      end
      FileUtils.rm_rf(version(1))
    end
    File.rename(aside, version(1))

    expect(rollback).to be_ok
    expect(app.version).to eq "linked"
  end

  it "is not said to be missing while a rollback waits for a request", :linux do
    push("hidden")
    push("live-now")
    waiting = rollback_waiting_for_a_request do
      expect(app.hotswap("cp", "previous:database", "-")).to have_attributes(exit_code: 4, stderr: /a rollback is under way/)
    end

    expect(waiting).to be_ok
    expect(app.version).to eq "hidden"
  end

  it "takes a schema along that a migration changes while the rollback waits" do
    push("before")
    push("migrated")
    generation = schema_generation
    waiting = rollback_waiting_for_a_request do
      SQLite3::Database.new(app.database_path) { |db| db.execute("ALTER TABLE items ADD COLUMN extra") }
    end

    expect(waiting).to be_ok
    # Requests go on between the tries. On a busy machine there may be more than two.
    expect(waiting.stderr).to match(/requests held for \S+ ms at most, [2-9] times/)
    expect(schema_generation).to be > generation
  end

  it "is none if a managed database has its name" do
    other = app.file("storage/app.sqlite3.previous", ItemsServer::SCHEMA, %w[other])
    both = %(Hotswap.database_paths = %w[storage/app.sqlite3 storage/app.sqlite3.previous])
    program = ObedientProgram.new(app.root)
    program.tell("#{both.sub("Hotswap.", "Hotswap.configuration.")}; Hotswap.socket_path = 'tmp/other.sock'; Hotswap.register_chosen; 1")

    expect(program.hotswap("cp", offer("new"), "storage/app.sqlite3")).to match [0, "OK\n", anything]
    expect(names_in(other)).to eq %w[other]
    [["rollback", "storage/app.sqlite3"], ["cp", "previous:storage/app.sqlite3", "-"]].each do |arguments|
      expect(program.hotswap(*arguments)).to match [3, "", /app\.sqlite3\.previous has the name of one and is a managed database itself/]
    end
    expect(names_in(other)).to eq %w[other]
  ensure
    FileUtils.rm_f(Dir["#{other}*"])
  end

  it "is removed with a line in the log" do
    2.times { |number| push("number-#{number}") }
    settled

    expect(versions).to eq [1]
    eventually { expect(app.log).to match(/removed \S+app\.sqlite3\.previous\.2, an older version/) }
  end

  it "is taken back from a process that has written to it and left its rows in a WAL" do
    push("written-by-hand")
    push("current")
    settled
    shell = Stranger.ruby(version(1))
    shell.ask("INSERT INTO items (name) VALUES ('by-hand')")
    shell.stop
    expect(File.size("#{version(1)}-wal")).to be > 0

    expect(rollback).to be_ok
    expect(app.version).to eq "written-by-hand by-hand"
    expect(app.stray_files).to eq []
  end

  it "stays where it is while a process has it open, and the refusal names the process" do
    push("kept-open")
    push("served")
    settled
    shell = Stranger.ruby(version(1))
    expect(shell.ask("SELECT name FROM items")).to eq "kept-open"

    refused = untouched { rollback("--timeout=3") }
    expect(refused).to have_attributes(exit_code: 4, stderr: /^Waiting: .*app\.sqlite3\.previous is open in #{Project.linux? ? "process #{shell.pid}" : "a process"} .*^ERROR: .*Close it there and try again$/m)
    expect(shell.ask("SELECT name FROM items")).to eq "kept-open"

    waiting = app.start_hotswap("rollback")
    sleep 0.3
    shell.stop
    expect(waiting.wait(30)).to be_ok
    expect(app.version).to eq "kept-open"
  end

  it "is refused if it was damaged since, and the live database stays" do
    push("damaged")
    push("sound")
    settled
    File.open(version(1), "r+b") { |file| file.seek(4096) && file.write("\xff" * 4096) }

    refused = untouched { rollback }
    expect(refused).to have_attributes(exit_code: 3, stderr: /^ERROR: cannot roll back .*app\.sqlite3: integrity check failed.*previous:\S*app\.sqlite3 is damaged.* or push a backup$/m)
    File.truncate(version(1), 5000)
    expect(untouched { rollback }).to have_attributes(exit_code: 3, stderr: /^ERROR: cannot roll back .*app\.sqlite3: the file is truncated/)
    File.delete(version(1))
    expect(untouched { rollback }).to have_attributes(exit_code: 3, stderr: /^ERROR: there is no previous version of storage.app\.sqlite3: .*config\.hotswap\.keep/)
    FileUtils.cp(app.database_path, version(2))
    refused = rollback
    expect(refused).to have_attributes(exit_code: 3, stderr: %r{previous does not exist\. These exist: previous\.2:(\S+)\. To go back to one: hotswap cp previous\.2:\1 \1$})
    FileUtils.rm_f(version(2))
  end

  it "is swapped by one of two rollbacks after the other, and pushes wait as well" do
    push("below")
    push("above")
    both = Array.new(2) { app.start_hotswap("rollback") }
    expect(both.map { |command| command.wait(30) }).to all be_ok
    expect([app.version, items(1)]).to eq ["above", %w[below]]

    offer("pushed")
    mixed = [app.start_hotswap("cp", "storage/new.sqlite3", "storage/app.sqlite3"), app.start_hotswap("rollback")]
    expect(mixed.map { |command| command.wait(30) }).to all be_ok
    # Whichever came first, the other one has kept what it found.
    expect([app.version, *items(1)]).to eq(%w[above pushed]).or eq(%w[pushed below])
    expect(versions).to eq [1]
  end
end

RSpec.describe "a rollback that meets a migration and then a busy application", lane: "default" do
  include Versions

  # From the moment in which the gates are closed, each request to /wait takes until "go-on" is written again.
  running_app(ItemsServer, settings: 'Hotswap.on_disconnect { File.delete("go-on") if File.exist?("go-on") }')

  it "gives up when its timeout is over, and not after twice that time" do
    push("before")
    push("migrated")
    slow = Thread.new { app.get("/wait") }
    eventually { app.root.join("waits").exist? }
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    elapsed = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun }
    waiting = app.start_hotswap("rollback", "--timeout", "4")
    eventually { waiting.stderr.include?("Waiting for") }
    SQLite3::Database.new(app.database_path) { |db| db.execute("ALTER TABLE items ADD COLUMN extra") }
    sleep(3 - elapsed.call)
    app.write("go-on", "")
    visitors = Array.new(3) { Thread.new { app.get("/wait") while waiting.running? } }

    expect(waiting.wait).to have_attributes(exit_code: 4, stderr: /gave up after 4.0 s.*GET \/wait/m)
    expect(elapsed.call).to be_between(3.5, 6)
    expect(versions).to eq [1]
  ensure
    app.write("go-on", "")
    [slow, *visitors].compact.each(&:join)
  end
end

RSpec.describe "a file with the name of a version, of which hotswap has kept none", lane: "default" do
  include Versions

  let(:app) { keep(ItemsServer.start) }

  it "goes aside with a warning" do
    app.version
    File.write(version(1), "of a deploy script")
    expect(push("one").stderr).to include("WARNING: a file that hotswap has not put there")
    expect(push("two").stderr).not_to include("WARNING")
    settled

    expect(versions).to eq [1]
    expect(names_in(version(1))).to eq %w[one]
    expect(File.read("#{version(1)}.foreign")).to eq "of a deploy script"
  end
end

# Fails unless the board says that hotswap owns the names: the worker is killed before it can write the record.
RSpec.describe "a version that the first push has kept before it was killed", :slow, lane: "default" do
  include Versions

  before { skip "no C compiler here makes the library that stands in between" unless SystemCalls.available? }

  let(:app) { keep(WatchedServer.start) }

  it "is hotswap's own for the next push" do
    app.version
    app.offer("first")
    # The version has a hidden name first, whether it is the replaced file or, in place, a copy.
    kept = SystemCalls::Step.new("worker", "rename", "kept", 1)
    expect(app.calls.with(kept, :killed_after) { app.push }).to have_attributes(exit_code: 5)
    settled
    expect(names_in(version(1))).to eq %w[old]

    app.offer("second")
    pushed = app.push
    expect(pushed).to be_ok
    expect(pushed.stderr).not_to include("WARNING")
    settled
    expect([app.version, versions, names_in(version(1))]).to eq ["second", [1], %w[first]]
    expect(Dir["#{app.database_path}*.foreign"]).to eq []
  end
end
