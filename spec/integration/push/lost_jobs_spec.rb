# frozen_string_literal: true

require_relative "../crash/support/watched_server"

RSpec.describe "a push to Solid Queue's database", lane: "default" do
  running_app

  let(:live) { app.database_path("queue") }

  def insert(file, *jobs, finished: nil)
    database = SQLite3::Database.new(file.to_s)
    jobs.each do |job|
      database.execute("INSERT INTO solid_queue_jobs (queue_name, class_name, active_job_id, finished_at, created_at, updated_at) " \
        "VALUES ('default', 'ItemJob', ?, ?, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)", [job, finished])
    end
  ensure
    database&.close
  end

  def copy = app.root.join("files/queue.sqlite3").tap { |file| expect(app.hotswap("cp", "queue", file, "--quiet")).to be_success }

  before { app.root.join("files").mkpath }

  it "warns how many pending jobs the new database lacks, and succeeds" do
    insert(live, "was done before", finished: "2026-01-01")
    before = copy
    insert(live, "waits here", "waits here too")
    insert(live, "is done", finished: "2026-01-01")
    said = "2 pending jobs are missing from the new database and will not run"
    pushed = app.hotswap("cp", before, "queue")

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /\A#{Regexp.escape(said)}\nSwapping database\.\.\.\n#{HotswapCommand::WAY}, .*\n\z/)
    expect(app.log).to include(said)
  end

  it "does not warn about jobs that the new database has" do
    insert(live, "waits, and is copied")

    expect(app.hotswap("cp", copy, "queue")).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
  end
end

# push/replace.rs: the worker counts late jobs while requests wait.
RSpec.describe "a push to a queue database with 300 tables", :linux, lane: "default" do
  columns = Array.new(20) { |number| "column_#{number} VARCHAR NOT NULL" }.join(", ")
  tables = Array.new(300) { |number| "CREATE TABLE table_#{number} (#{columns})" }
  watched_app(schema: [WatchedServer::SCHEMA, "CREATE TABLE solid_queue_jobs (id INTEGER PRIMARY KEY, active_job_id TEXT, finished_at TEXT)", *tables].join("; "))

  # The worker's system calls while requests wait, before the new database is in place.
  def calls_of_the_pause
    app.offer("pushed")
    calls = app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) }.select { |call| call.program == "worker" }
    posts = ->(phase) { calls.rindex { |call| call.call == "write" && call.file == "app.sqlite3.hotswap" && call.data.getbyte(36) == phase } }
    calls[posts.call(2)..posts.call(3)]
  end

  it "reads the schema before requests wait" do
    read = calls_of_the_pause.count { |call| call.call == "read" && call.file == "app.sqlite3" }
    expect(read).to be < 10
    expect(TestDatabase.read(app.database_path) { |db| db.get_first_value("SELECT count(*) FROM sqlite_schema") }).to be > 300
  end
end
