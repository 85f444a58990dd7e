# frozen_string_literal: true

# Only SQLite's locks keep a copy out of the middle of a transaction. A connection can be opened without them.
RSpec.describe "a database that the application opens without SQLite's usual locks" do
  # name: what is registered. opened: what the connection is given. "/transaction" is in the middle of one until there is
  # a file "go-on".
  def boot(name:, opened:)
    config = <<~RUBY
      require "hotswap"
      Hotswap.register(#{name.inspect})
      Hotswap.register("storage/other.sqlite3")
      Hotswap.on_disconnect { |database| DATABASE.close if database.label == "storage/app.sqlite3" }
      Hotswap.start
      DATABASE = SQLite3::Database.new(#{opened.inspect}, flags: SQLite3::Constants::Open::READWRITE | SQLite3::Constants::Open::URI)
      DATABASE.execute("PRAGMA cache_size = 5")
      use Hotswap::Middleware
      run lambda { |env|
        DATABASE.transaction do
          DATABASE.execute("UPDATE pair SET a = a + 1")
          sleep 0.01 until File.exist?("go-on")
          DATABASE.execute("UPDATE pair SET b = b + 1")
        end if env["PATH_INFO"] == "/transaction"
        [200, {"content-type" => "text/plain"}, ["done"]]
      }
    RUBY
    @app = boot_rack(config, database: "storage/app.sqlite3") do |server|
      server.root.join("storage").mkpath
      %w[app other].each { |file| pairs(server.root.join("storage/#{file}.sqlite3")) }
      server.root.join("new").mkpath
      pairs(server.root.join("new/app.sqlite3"))
    end
  end

  attr_reader :app

  # So many that not all of them have room in the cache: what is changed goes to the file before it is committed.
  def pairs(path)
    SQLite3::Database.new(path.to_s) do |db|
      db.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE pair (a INTEGER, b INTEGER, filling)")
      db.execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) INSERT INTO pair SELECT 0, 0, zeroblob(1000) FROM n")
    end
  end

  def expect_refused(result, words)
    expect(result).to have_attributes(exit_code: 3, stdout: "")
    expect(result.stderr).to start_with("ERROR: ").and include(*words)
  end

  # Fails without `require_managed` and `require_locks`: a pull would take the journal for that of a dead process, and
  # roll half of the transaction back.
  def expect_refused_both_ways(*words)
    transaction = Thread.new { app.get("/transaction") }
    eventually { File.exist?("#{app.database_path}-journal") }
    expect_refused(app.hotswap("cp", "storage/app.sqlite3", "out.sqlite3"), words)
    expect_refused(app.hotswap("cp", "storage/app.sqlite3", "-"), words)
    expect_refused(app.hotswap("cp", "new/app.sqlite3", "storage/app.sqlite3"), words)
    FileUtils.touch(app.root.join("go-on"))

    expect(transaction.value.status).to eq 200
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(TestDatabase.read(app.database_path) { |db| db.execute("SELECT DISTINCT a, b FROM pair") }).to eq [[1, 1]]
    expect(app.hotswap("cp", "storage/other.sqlite3", "out.sqlite3")).to have_attributes(exit_code: 0)
    expect(app.hotswap("cp", "new/app.sqlite3", "storage/other.sqlite3")).to have_attributes(exit_code: 0)
  end

  it "in database.yml is not managed, and the others are" do
    boot(name: "file:storage/app.sqlite3?nolock=1", opened: "file:storage/app.sqlite3?nolock=1")

    expect(app.log).to include("managing 1 database(s): storage/other.sqlite3", "storage/app.sqlite3 is not managed: nolock=1 turns off SQLite's locks")
    expect_refused_both_ways("storage/app.sqlite3 is not managed: nolock=1", "restart the application")
  end

  it "in one connection is refused, and the process is named" do
    boot(name: "storage/app.sqlite3", opened: "file:storage/app.sqlite3?vfs=unix-dotfile")

    expect(app.log).to include("managing 2 database(s): storage/app.sqlite3, storage/other.sqlite3", "vfs=unix-dotfile makes SQLite lock the file differently")
    expect_refused_both_ways("process #{app.pid} ", "has opened", "restart the process")
  end

  it "is managed if the parameters do not affect the locks" do
    name = "file:storage/app.sqlite3?mode=rw&cache=private&psow=0&vfs=unix&nolock=0"
    boot(name: name, opened: name)

    expect(app.hotswap("cp", "storage/app.sqlite3", "out.sqlite3")).to have_attributes(exit_code: 0)
    expect(app.hotswap("cp", "new/app.sqlite3", "storage/app.sqlite3")).to have_attributes(exit_code: 0)
  end
end
