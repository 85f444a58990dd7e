# frozen_string_literal: true

# Litestream keeps the database open, always in a read transaction, and keeps two tables in it.
RSpec.describe "a push into a database that Litestream replicates", :slow, lane: "default" do
  before { skip "there is no Litestream 0.5" unless Litestream.program }
  after { @litestream&.stop }

  # Each writes more than makes Litestream checkpoint, which is when it needs its tables. Without automatic checkpoints,
  # as Litestream recommends: beside them, Litestream 0.5.17 spoils its replica now and then, without any push.
  def write(path, name, into: "items")
    SQLite3::Database.new(path) do |db|
      db.busy_timeout = 5_000
      db.execute("PRAGMA wal_autocheckpoint = 0")
      db.execute("INSERT INTO #{into} (name) VALUES (?)", [name])
      db.execute("CREATE TABLE IF NOT EXISTS filling (bytes)")
      3.times { db.execute("INSERT INTO filling VALUES (randomblob(4000000))") }
    end
  end

  def names(path, of: "items") = TestDatabase.read(path) { |db| db.execute("SELECT name FROM #{of} ORDER BY id").flatten }

  # Fails without `adapt::carry_over`: then the replica ends with the first checkpoint.
  # Quiet, because the worker has 100 ms to find Litestream among all processes.
  it "is replicated, with every later row and no old one", :quiet do
    app = keep(ItemsServer.start)
    app.version
    path = app.database_path
    @litestream = Litestream.new(path, app.root.join("litestream"))
    write(path, "before")
    @litestream.sync
    expect(names(@litestream.restore)).to eq %w[old before]

    %w[first second].each do |content|
      result = app.hotswap("cp", app.file("files/#{content}.sqlite3", ItemsServer::SCHEMA, [content]), "database", "--skip-schema-check")
      expect(result).to have_attributes(exit_code: 0), result.stderr
      expect(result.stderr).to include(HotswapCommand.open_in(@litestream.pid))
      write(path, "after #{content}")
      @litestream.sync
      write(path, "and after that")

      @litestream.sync

      restored = @litestream.restore
      expect(names(restored)).to eq [content, "after #{content}", "and after that"]
      expect(TestDatabase.integrity(restored)).to eq "ok"
      expect(app.version).to eq [content, "after #{content}", "and after that"].join(" ")
      expect(@litestream.log).not_to match(/no such table/)
    end
    expect(TestDatabase.integrity(path)).to eq "ok"
  end

  it "is replicated with the pushed rows of some tables, and with every row of the others" do
    schema = "#{ItemsServer::SCHEMA}; CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT)"
    app = keep(ItemsServer.start(schema: schema))
    app.version
    path = app.database_path
    @litestream = Litestream.new(path, app.root.join("litestream"))
    notes = ["before"]
    write(path, "before", into: "notes")
    @litestream.sync

    %w[first second].each do |content|
      expect(app.hotswap("cp", "--only", "items", app.file("files/#{content}.sqlite3", schema, [content]), "database")).to have_attributes(exit_code: 0)
      notes << "after #{content}"
      write(path, notes.last, into: "notes")
      @litestream.sync

      restored = @litestream.restore
      expect(names(restored)).to eq [content]
      expect(names(restored, of: "notes")).to eq notes
      expect(TestDatabase.integrity(restored)).to eq "ok"
    end
    expect(app.hotswap("rollback")).to have_attributes(exit_code: 0)
    @litestream.sync
    expect(names(@litestream.restore)).to eq %w[first]
    expect(names(@litestream.restore, of: "notes")).to eq notes
  end
end
