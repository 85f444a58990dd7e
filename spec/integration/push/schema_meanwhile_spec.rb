# frozen_string_literal: true

# A push waits for requests that run, and one of them may be a migration. seen.rs, `confirm`.
RSpec.describe "a push that waits while the live database changes", lane: "default" do
  after { app.tear_down }

  attr_reader :app

  # A request delays the push after its checks, until the block ends.
  def meanwhile(file, *flags)
    go_on, waits = %w[go-on waits].map { |name| app.root.join(name) }
    FileUtils.rm_f([go_on, waits])
    log = app.log.length
    waiting = Thread.new { app.get("/wait") }
    eventually { waits.exist? }
    push = app.start_hotswap("cp", file, "database", *flags)
    eventually { app.log[log..].include?("acquiring swap lock") }
    yield
    FileUtils.touch(go_on)
    push.wait.tap { waiting.join }
  end

  # Without a WAL, the worker may read at this moment.
  def change(sql)
    SQLite3::Database.new(app.database_path) do |db|
      db.busy_timeout(10_000)
      db.execute_batch(sql)
    end
  end

  def tables = TestDatabase.read(app.database_path) { |db| db.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL").flatten }

  %w[wal delete].product(%w[auto always]).each do |journal_mode, in_place|
    context "in journal mode #{journal_mode}, with --in-place=#{in_place}" do
      before { @app = ItemsServer.start(journal_mode: journal_mode) }

      let(:file) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]) }

      it "fails if a migration has ended, and the migration stays" do
        [[], ["--skip-schema-check"]].each do |flags|
          column = "added_#{flags.size}"
          given_up = meanwhile(file, "--in-place=#{in_place}", *flags) { change("ALTER TABLE items ADD COLUMN #{column} TEXT") }

          expect(given_up).to have_attributes(exit_code: 4, stdout: "")
          expect(given_up.stderr).to include("ERROR: the schema of #{app.database_path} changed while hotswap waited. Nothing was swapped. Try again\n")
          expect(tables.first).to include column
          expect(app.version).to eq "old"
          expect(app.stray_files).to eq []
          change("ALTER TABLE items DROP COLUMN #{column}")
        end
      end

      it "fails if an empty database has got its tables" do
        change("DROP TABLE items")
        given_up = meanwhile(file, "--in-place=#{in_place}") { change("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, more TEXT)") }

        expect(given_up).to have_attributes(exit_code: 4, stderr: /the schema of .* changed while hotswap waited/)
        expect(tables.first).to include "more TEXT"
      end

      # check/lost_jobs.rs, `since`.
      it "warns about jobs that arrived in the queue, and succeeds" do
        queue = "CREATE TABLE solid_queue_jobs (id INTEGER PRIMARY KEY, active_job_id TEXT, finished_at TEXT)"
        change(queue)
        change("INSERT INTO solid_queue_jobs (active_job_id) VALUES ('copied')")
        new = app.file("files/queue.sqlite3", "#{ItemsServer::SCHEMA}; #{queue}; INSERT INTO solid_queue_jobs (active_job_id) VALUES ('copied')", %w[new])
        pushed = meanwhile(new, "--in-place=#{in_place}") do
          change("INSERT INTO solid_queue_jobs (active_job_id, finished_at) VALUES ('late', NULL), ('late too', NULL), ('done', '2026-01-01')")
        end

        said = "2 jobs that were enqueued while the push waited are missing from the new database and will not run"
        expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /^#{said}$/)
        expect(pushed.stderr.scan("will not run").size).to eq 1
        expect(app.log).to include(said)
        expect(app.version).to eq "new"
      end

      it "fails if it has no rows and the live database has got some" do
        change("DELETE FROM items")
        empty = app.file("files/empty.sqlite3", ItemsServer::SCHEMA)
        given_up = meanwhile(empty, "--in-place=#{in_place}") { change("INSERT INTO items (name) VALUES ('meanwhile')") }

        expect(given_up).to have_attributes(exit_code: 4, stderr: /was empty when the push began, and now has rows in items\. Nothing was swapped/)
        expect(app.version).to eq "meanwhile"
      end

      it "succeeds if only rows or statistics have changed" do
        pushed = meanwhile(file, "--in-place=#{in_place}") do
          change("INSERT INTO items (name) VALUES ('meanwhile'); CREATE INDEX for_now ON items (name); DROP INDEX for_now; ANALYZE; VACUUM")
        end

        expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.version).to eq "new"
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      end
    end
  end

  it "fails if there was no database, and now there is one" do
    @app = ItemsServer.start
    app.version
    FileUtils.rm_f(Dir.glob("#{app.database_path}{,-wal,-shm}"))
    file = app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new])
    given_up = meanwhile(file) { app.file("storage/app.sqlite3", "CREATE TABLE others (id)") }

    expect(given_up).to have_attributes(exit_code: 4, stderr: /another program created .* in the meantime\. Nothing was swapped/)
    expect(tables).to eq ["CREATE TABLE others (id)"]
  end
end
