# frozen_string_literal: true

# live.rs, `remove_sidecars`: SQLite would take what lies there for the new file's.
RSpec.describe "a push to where no database is" do
  # leave: makes what a process that died leaves beside the live database.
  def expect_the_new_one_alone(journal_mode, suffix, leave)
    server = ItemsServer.start(journal_mode: journal_mode)
    live = server.database_path
    left = "#{live}.left"
    SQLite3::Database.new(live) do |db|
      db.execute("PRAGMA cache_size = 1")
      leave.each { |statement| db.execute(statement) }
      FileUtils.cp("#{live}#{suffix}", left)
    end
    expect(File.size(left)).to be > 4096
    ["", "-wal", "-shm", "-journal"].each { |name| FileUtils.rm_f(live + name) }
    File.rename(left, "#{live}#{suffix}")

    file = server.file("new.sqlite3", ItemsServer::SCHEMA, %w[new], journal_mode: journal_mode)
    pushed = server.hotswap("cp", file, "storage/app.sqlite3")

    expect(pushed).to have_attributes(exit_code: 0)
    expect(server.version).to eq "new"
    expect(TestDatabase.integrity(live)).to eq "ok"
  ensure
    server&.tear_down
  end

  it "never meets the log of the one that was there" do
    expect_the_new_one_alone("wal", "-wal", ["INSERT INTO items (name) VALUES ('left in the log')"])
  end

  it "never meets the journal of the one that was there", lane: "default" do
    fill = "INSERT INTO items (name) SELECT hex(zeroblob(1000)) FROM sqlite_schema a, sqlite_schema b, sqlite_schema c"
    more = "INSERT INTO items (name) SELECT name FROM items"
    change = "UPDATE items SET name = 'in the middle' || name"
    expect_the_new_one_alone("delete", "-journal", [fill, *[more] * 6, "BEGIN", change])
  end
end
