# frozen_string_literal: true

require "etc"
require_relative "crash/support/system_calls"

RSpec.describe "a push of a file that means harm", lane: "default" do
  before(:context) { @app = ItemsServer.start }
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

  def push(...) = app.hotswap("cp", file_with(...), live, "--skip-schema-check")

  def workers = app.process.members - [app.pid]

  def processor_seconds(pid)
    File.read("/proc/#{pid}/stat").rpartition(")").last.split[11].to_f / Etc.sysconf(Etc::SC_CLK_TCK)
  rescue Errno::ENOENT, Errno::ESRCH
    0 # it ended while we looked
  end

  # The lines that keep it out are `allow_loading(connection, false)` and SQLite's own default.
  it "is refused when a rule of it would load a library, which is not loaded" do
    library = SystemCalls.library or skip "no C compiler here makes a library to load"
    refused = untouched_items { push("load_extension('#{library}') IS NULL") }

    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: .*(unsafe use of load_extension|not authorized)/)
  end

  # HEAP_LIMIT in judge.rs.
  it "is refused when a rule of it takes more memory than a check may" do
    refused = untouched_items { push("length(zeroblob(900000000) || zeroblob(900000000)) > 0") }

    expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed: .*(MB of memory|too big)/)
  end

  # The thread of attention.rs: what asks between two steps would have to wait for the end of the step.
  it "ends with its command when a rule of it goes on for ever in one step" do
    file_with("instr(hex(zeroblob(20000000)), hex(zeroblob(10000000)) || '1') > 0")
    command = app.start_hotswap("cp", "new.sqlite3", live, "--skip-schema-check")
    # Ruby itself takes a tenth of that, and the check has the lowest priority.
    eventually(60) { workers.any? { |pid| processor_seconds(pid) > 0.7 } }
    command.kill(:TERM)
    command.wait(10)

    eventually(60) { workers.empty? }
    expect(app.version).to eq "old"
    expect(app.stray_files.grep_v(/new\.sqlite3/)).to eq []
  ensure
    workers.each { |pid| Process.kill(:KILL, pid) }
  end

  # accounts.rs: beside a view that is newer than all tables, SQLite's own check passes over the free pages.
  it "is refused when the pages that it calls free are in use" do
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

  private

  def untouched_items
    before = [app.version, File.stat(app.database_path).ino]
    answer = yield
    expect([app.version, File.stat(app.database_path).ino]).to eq before
    answer
  end
end
