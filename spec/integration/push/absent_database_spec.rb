# frozen_string_literal: true

# live/file.rs, `remove_sidecars`: SQLite would apply these files to the new database.
RSpec.describe "a push to a path without a database", lane: "default" do
  # leave: makes what a process that died leaves next to the live database.
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

  it "ignores the WAL of an earlier database" do
    expect_the_new_one_alone("wal", "-wal", ["INSERT INTO items (name) VALUES ('left in the log')"])
  end

  it "ignores the journal of an earlier database", lane: "default" do
    fill = "INSERT INTO items (name) SELECT hex(zeroblob(1000)) FROM sqlite_schema a, sqlite_schema b, sqlite_schema c"
    more = "INSERT INTO items (name) SELECT name FROM items"
    change = "UPDATE items SET name = 'in the middle' || name"
    expect_the_new_one_alone("delete", "-journal", [fill, *[more] * 6, "BEGIN", change])
  end

  # live/file.rs, `gone`: there is nothing to compare with, and that says nothing of the schema.
  it "fails if a database was there when it began", lane: "default" do
    server = ItemsServer.start
    live = server.database_path
    push = FedCommand.start(server, "cp", "-", "storage/app.sqlite3")
    content = File.binread(server.file("new.sqlite3", "CREATE TABLE others (id INTEGER PRIMARY KEY, name TEXT)"))
    push.write(content.byteslice(0, 5000))
    eventually { server.stray_files.any? { |file| file.end_with?(".staged") } }
    File.rename(live, "#{live}.aside")
    push.write(content.byteslice(5000..))
    push.close

    expect(push.wait).to have_attributes(exit_code: 4, stderr: /\AERROR: another program removed #{live} in the meantime\. Nothing was swapped/)
    expect(File.exist?(live)).to be false
  ensure
    File.rename("#{live}.aside", live) if live && File.exist?("#{live}.aside")
    server&.tear_down
  end
end
