# frozen_string_literal: true

# The application itself may prevent a copy. An error that blames another program would mislead.
RSpec.describe "a database that the application opens in an unusual way" do
  # connection: how a request that asks for "/keep" gets at the database.
  def boot(connection)
    config = <<~RUBY
      require "hotswap"
      Hotswap.configure { |config| config.max_pause = 0.2; config.timeout = 3 }
      Hotswap.register("storage/app.sqlite3")
      Hotswap.register("storage/other.sqlite3")
      Hotswap.start
      KEPT = []
      use Hotswap::Middleware
      run lambda { |env|
        #{connection} if KEPT.empty?
        [200, {"content-type" => "text/plain"}, [KEPT.first.get_first_value(env["QUERY_STRING"].tr("+", " ")).to_s]]
      }
    RUBY
    boot_rack(config, database: "storage/app.sqlite3") do |server|
      server.root.join("storage").mkpath
      [server.database_path, server.root.join("storage/other.sqlite3").to_s].each { |path| items(path, "old") }
    end
  end

  def items(path, name, megabytes: 0)
    SQLite3::Database.new(path) do |db|
      db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE items (name, filling)")
      db.execute("INSERT INTO items (name) VALUES (?)", [name])
      megabytes.times { db.execute("INSERT INTO items (filling) VALUES (zeroblob(1000000))") }
      db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
      db.execute("PRAGMA journal_mode = DELETE")
      db.execute("PRAGMA journal_mode = WAL")
    end
    path
  end

  # Fails without `locks::unreadable`: the error would blame "another process".
  it "with an exclusive lock is refused with the name of the process and of the PRAGMA", :slow do
    app = boot('KEPT << SQLite3::Database.new("storage/app.sqlite3").tap { |db| db.execute("PRAGMA locking_mode = EXCLUSIVE") }')
    expect(app.get("/?SELECT+name+FROM+items").body).to eq "old"
    app.root.join("files").mkpath
    file = items(app.root.join("files/new.sqlite3").to_s, "new")

    [%w[storage/app.sqlite3 out.sqlite3], [file, "storage/app.sqlite3"]].each do |paths|
      refused = app.hotswap("cp", *paths)
      expect(refused).to have_attributes(exit_code: 4, stdout: "")
      expect(refused.stderr).to match(/#{HotswapCommand.named(app.pid)} keeps it locked\. .*PRAGMA locking_mode = EXCLUSIVE/)
    end
    expect(app.get("/?SELECT+name+FROM+items").body).to eq "old"
  end

  # Fails without `has_a_fence_open`: the error would blame a process that hotswap does not manage.
  it "attached to the connection of another database is written in place, or refused with the remedy" do
    app = boot('KEPT << SQLite3::Database.new("storage/other.sqlite3").tap { |db| db.execute("ATTACH \'storage/app.sqlite3\' AS app") }')
    Thread.new { app.get("/") }.join
    expect(app.get("/?SELECT+name+FROM+app.items").body).to eq "old"
    app.root.join("files").mkpath

    large = app.hotswap("cp", items(app.root.join("files/large.sqlite3").to_s, "large", megabytes: 100), "storage/app.sqlite3")
    expect(large).to have_attributes(exit_code: 3, stdout: "")
    held = ["process #{app.pid} (", "belongs to this application", "DETACH"]
    expect(large.stderr).to include("--in-place=always", *(Project.linux? ? held : "could be open"))
    expect(large.stderr).not_to include("does not manage")

    never = app.hotswap("cp", app.root.join("files/large.sqlite3"), "storage/app.sqlite3", "--in-place=never")
    expect(never).to have_attributes(exit_code: Project.linux? ? 4 : 3, stdout: "")
    expect(never.stderr).to include(*(Project.linux? ? held : "could be open"))
    expect(never.stderr).not_to include("does not manage")

    expect(app.hotswap("cp", items(app.root.join("files/new.sqlite3").to_s, "new"), "storage/app.sqlite3")).to have_attributes(exit_code: 0)
    expect(app.get("/?SELECT+name+FROM+app.items").body).to eq "new"
  end
end
