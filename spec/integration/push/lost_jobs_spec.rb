# frozen_string_literal: true

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
