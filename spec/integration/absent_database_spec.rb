# frozen_string_literal: true

RSpec.describe "a push to where no database is" do
  it "never meets the log of the one that was there" do
    server = ItemsServer.start
    live = server.database_path
    crashed = "#{live}.crashed"
    SQLite3::Database.new(live) do |db|
      db.execute("INSERT INTO items (name) VALUES ('left in the log')")
      FileUtils.cp("#{live}-wal", crashed)
    end
    ["", "-wal", "-shm"].each { |suffix| FileUtils.rm_f(live + suffix) }
    File.rename(crashed, "#{live}-wal")

    file = server.file("new.sqlite3", ItemsServer::SCHEMA, %w[new], journal_mode: "wal")
    pushed = server.hotswap("cp", file, "storage/app.sqlite3")

    expect(pushed).to have_attributes(exit_code: 0)
    expect(server.version).to eq "new"
    expect(TestDatabase.integrity(live)).to eq "ok"
  ensure
    server&.tear_down
  end
end
