# frozen_string_literal: true

require "etc"
require_relative "../crash/support/system_calls"

RSpec.describe "a push of a hostile file", lane: "default" do
  before(:context) { @app = ItemsServer.start(settings: "config.low_priority = false") }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:live) { "storage/app.sqlite3" }

  # A row that breaks the rule is in it before the rule is.
  def file_with(check, items: %w[x])
    app.file("new.sqlite3", ItemsServer::SCHEMA, items).tap do |path|
      SQLite3::Database.new(path) do |db|
        sql = ItemsServer::SCHEMA.sub("name TEXT", "name TEXT CHECK (#{check})")
        db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '#{sql.gsub("'", "''")}'")
      end
    end
  end

  # A rule that is looked at in one step of SQLite, which compares 2 MB two million times.
  def for_ever = "instr(zeroblob(4000000), CAST(zeroblob(2000000) || x'01' AS BLOB)) = 0"

  def push(...) = app.hotswap("cp", file_with(...), live, "--skip-schema-check")

  def workers = app.process.members - [app.pid]

  def processor_seconds(pid)
    File.read("/proc/#{pid}/stat").rpartition(")").last.split[11].to_f / Etc.sysconf(Etc::SC_CLK_TCK)
  rescue Errno::ENOENT, Errno::ESRCH
    0 # it ended while we looked
  end

  # The lines that keep it out are `allow_loading(connection, false)` and SQLite's own default.
  it "is refused without loading the library that one of its constraints names" do
    library = SystemCalls.library or skip "no C compiler here makes a library to load"
    refused = untouched_items { push("load_extension('#{library}') IS NULL") }

    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: .*(unsafe use of load_extension|not authorized)/)
  end

  # memory_limit.rs.
  it "is refused if a constraint takes more memory than a check may" do
    refused = untouched_items { push("length(zeroblob(900000000) || zeroblob(900000000)) > 0") }

    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed: .*(MB of memory|too big)/)
  end

  # A statement that takes a lot of memory to understand, and none to read.
  def file_with_a_long_rule = file_with("id IN (#{(["1"] * 2_500_000).join(",")})")

  # check/integrity.rs, SCHEMA.
  it "is refused if its schema is too long" do
    file_with_a_long_rule
    refused = untouched_items { app.hotswap("cp", "new.sqlite3", live, "--skip-schema-check", "--skip-integrity-check") }

    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: .*(longer than 4 MB|out of memory)/)
  end

  # receive.rs, `merge_sidecars`: with a WAL next to the file, SQLite opens the file before the checks.
  it "takes no more memory than a check may, even with a WAL" do
    file = file_with_a_long_rule
    File.binwrite("#{file}-wal", "x" * 40)
    command = app.start_hotswap("cp", file, live)
    most = 0
    most = [most, *workers.map { |pid| own_memory(pid) }].max while command.running?

    expect(command.wait).to have_attributes(exit_code: 3)
    expect(most).to be_between(1, 320)
  ensure
    FileUtils.rm_f("#{file}-wal")
  end

  # In MB, without what the page cache has.
  def own_memory(pid)
    File.read("/proc/#{pid}/status")[/^RssAnon:\s*(\d+)/, 1].to_i / 1024
  rescue Errno::ENOENT, Errno::ESRCH
    0
  end

  # The thread of worker/deadline.rs: a callback between two steps would have to wait for the step to end.
  it "ends with its command even if a constraint runs forever in one step" do
    file_with(for_ever)
    expect_to_end_with_its_command
  end

  # A row that a tree of 19 levels leads to in 70 ^ 19 ways: reading the schema comes to no end.
  def file_without_end
    path = app.file("new.sqlite3", "PRAGMA page_size = 512; CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT)", %w[x])
    bytes = File.binread(path)
    leaf = bytes[0, 512]
    levels = 17
    first = bytes.bytesize / 512 + 1
    interior = lambda do |child, offset|
      cells = Array.new(50) { |n| [child, n + 1].pack("NC") }
      places = Array.new(cells.size) { |n| 512 - 5 * (n + 1) }
      header = [5, 0, cells.size, places.last, 0, child].pack("CnnnCN") + places.pack("n*")
      header.ljust(512 - offset - 5 * cells.size, "\0") + cells.reverse.join
    end
    pages = Array.new(levels) { |n| interior.call(first + n + 1, 0) }
    # The header of the file stays on page 1; its row moves to the end.
    bytes[100, 412] = interior.call(first, 100)
    moved = leaf.byteslice(100, 8 + 2 * leaf[103, 2].unpack1("n")).ljust(512, "\0")
    moved[leaf[105, 2].unpack1("n")..] = leaf[leaf[105, 2].unpack1("n")..]
    bytes << pages.join << moved
    bytes[28, 4] = [bytes.bytesize / 512].pack("N")
    File.binwrite(path, bytes)
    path
  end

  # receive.rs, `merge_sidecars`: with a WAL next to the file, SQLite opens the file before the checks.
  {"" => nil, ", with a WAL next to it" => "-wal", ", with a journal next to it" => "-journal"}.each do |what, suffix|
    it "ends with its command even if its schema never ends#{what}" do
      file = file_without_end
      File.binwrite("#{file}#{suffix}", "x" * 40) if suffix
      expect_to_end_with_its_command
    ensure
      FileUtils.rm_f("#{file}#{suffix}") if suffix
    end
  end

  def expect_to_end_with_its_command
    command = app.start_hotswap("cp", "new.sqlite3", live, "--skip-schema-check")
    # Ruby itself takes a tenth of that.
    eventually(60) { !command.running? || workers.any? { |pid| processor_seconds(pid) > 0.7 } }
    expect(command).to be_running, command.stderr
    command.kill(:TERM)
    command.wait(10)

    eventually(60) { workers.empty? }
    expect(app.version).to eq "old"
    expect(app.stray_files.grep_v(/new\.sqlite3/)).to eq []
  ensure
    workers.each { |pid| Process.kill(:KILL, pid) }
  end

  # check/without_views.rs: if a view is newer than all tables, SQLite's own check skips the free pages.
  it "is refused if its free pages are in use" do
    path = app.file("new.sqlite3", ItemsServer::SCHEMA, ["x" * 50_000])
    SQLite3::Database.new(path) { |db| db.execute_batch("DELETE FROM items; CREATE VIEW names AS SELECT name FROM items") }
    File.open(path, "r+b") do |file|
      trunk = file.pread(4, 32).unpack1("N")
      file.pwrite([2].pack("N"), (trunk - 1) * 4096 + 8)
    end
    expect(TestDatabase.integrity(path)).to eq "ok"

    refused = untouched_items { app.hotswap("cp", path, live, "--skip-schema-check") }
    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed:\n.*\n.*2nd reference to page 2/)
  end

  # lib/hotswap/programs/worker.rb. What the application has is inherited.
  it "is checked by a process that the kernel kills before the application" do
    push = FedCommand.start(app, "cp", "-", live)
    push.write(File.binread(app.database_path, 4096))

    eventually { workers.any? && workers.all? { |pid| badness(pid) == 1000 } }
    expect(badness(app.pid)).to eq badness("self")
  ensure
    push.close
    push.wait
  end

  def badness(pid) = Integer(File.read("/proc/#{pid}/oom_score_adj"))

  # Only on Linux does hotswap know how much memory is left.
  describe "to an application with little free memory", :alone, :linux do
    # What the application has beside Ruby's own.
    ballast = '$ballast = "x" * 80_000_000'

    before do
      @group = MemoryGroup.make(megabytes: 220) or skip "no control group can be made here"
      @app = keep(ItemsServer.start(by_way_of: @group.entering, settings: ballast))
    end

    after do
      stop_servers
    ensure
      @group&.remove
    end

    it "is refused if a constraint takes more memory than is left" do
      refused = untouched_items { push("length(zeroblob(90000000) || zeroblob(90000000)) > 0") }

      expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed: .*takes more than \d\d MB of memory/)
    end
  end

  private

  def untouched_items
    before = [app.version, File.stat(app.database_path).ino]
    answer = yield
    expect([app.version, File.stat(app.database_path).ino]).to eq before
    answer
  end
end
