# frozen_string_literal: true

# With a write-ahead log, and an SQLite that lets pages be written, only those that differ are.
RSpec.describe "a push in place of a file that differs in a few pages" do
  before(:context) do
    @app = ItemsServer.start(settings: "config.max_pause = 3") { |server| fill(server.database_path) }
  end
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:path) { app.database_path }

  before do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    skip "this SQLite has no table of pages" unless SQLite3::Database.new(":memory:") { |db| break db.execute("PRAGMA compile_options").flatten.include?("ENABLE_DBPAGE_VTAB") }
    FileUtils.rm_f(app.root.join("go-on"))
    app.version
    @stranger = Stranger.shell(path)
    @stranger.ask("SELECT count(*) FROM items")
  end

  # 20 MB in rows of a page each.
  def fill(path, rows = 5_000)
    SQLite3::Database.new(path) do |db|
      db.execute("CREATE TABLE IF NOT EXISTS filling (id INTEGER PRIMARY KEY, bytes)")
      db.transaction { rows.times { db.execute("INSERT INTO filling (bytes) VALUES (randomblob(3500))") } }
    end
  end

  # What is live, changed by the block.
  def changed
    copy = app.root.join("files/changed-#{@changed = @changed.to_i + 1}.sqlite3").tap { |file| file.dirname.mkpath }.to_s
    FileUtils.rm_f(copy)
    expect(app.hotswap("cp", "database", copy)).to have_attributes(exit_code: 0)
    SQLite3::Database.new(copy) { |db| yield db }
    copy
  end

  def expect_live(file)
    expect(TestDatabase.content(path)).to eq TestDatabase.content(file)
    expect(TestDatabase.integrity(path)).to eq "ok"
    expect(TestDatabase.read(path) { |db| db.get_first_value("PRAGMA journal_mode") }).to eq "wal"
    expect(@stranger.ask("SELECT group_concat(name, ' ') FROM items")).to eq app.version
    expect(app.stray_files).to eq []
  end

  def pages_written(log) = app.log[log..][/wrote (\d+) pages/, 1].to_i

  it "writes those pages and no others" do
    file = changed do |db|
      db.execute("UPDATE items SET name = 'in place'")
      db.execute("UPDATE filling SET bytes = randomblob(3500) WHERE id % 500 = 0")
    end
    log = app.log.length

    expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0, stderr: /In place/)
    expect(pages_written(log)).to be_between(11, 40)
    expect_live(file)
    expect(app.version).to eq "in place"
  end

  # Fails without `pages_by_now`: later writes would stay among the new content.
  it "also writes pages that were changed after the comparison" do
    file = changed { |db| db.execute("UPDATE items SET name = 'looked before'") }
    log = app.log.length
    waiting = Thread.new { app.get("/wait") }
    eventually { app.log[log..] }
    push = app.start_hotswap("cp", file, "database")
    eventually { app.log[log..].include?("in place, because") }
    @stranger.ask("UPDATE filling SET bytes = zeroblob(3500) WHERE id % 7 = 0")
    @stranger.ask("INSERT INTO items (name) VALUES ('not for long')")
    @stranger.ask("INSERT INTO filling (bytes) SELECT zeroblob(3500) FROM filling LIMIT 100") if resizes?
    @stranger.ask("PRAGMA wal_checkpoint(RESTART)")
    FileUtils.touch(app.root.join("go-on"))

    expect(push.wait).to have_attributes(exit_code: 0, stderr: /In place/)
    waiting.join
    expect(pages_written(log)).to be_between(700, 2_500)
    expect_live(file)
    expect(app.version).to eq "looked before"
  end

  # Fails without `may_resize`: the worker would learn only with the write lock that it cannot change the number of
  # pages.
  it "plans again if the database has grown meanwhile" do
    skip "this SQLite adds and takes away pages" if resizes?
    file = changed { |db| db.execute("UPDATE items SET name = 'another plan'") }
    log = app.log.length
    waiting = Thread.new { app.get("/wait") }
    push = app.start_hotswap("cp", file, "database")
    eventually { app.log[log..].include?("in place, because") }
    @stranger.ask("INSERT INTO filling (bytes) SELECT zeroblob(3500) FROM filling LIMIT 100")
    FileUtils.touch(app.root.join("go-on"))

    expect(push.wait).to have_attributes(exit_code: 0, stderr: /In place/)
    waiting.join
    expect(app.log[log..].scan("in place, because").size).to eq 2
    expect(pages_written(log)).to be > 4_000
    expect_live(file)
  end

  # Before 3.47 it cannot change how many pages there are.
  def resizes? = SQLite3::SQLITE_VERSION.split(".").map(&:to_i).<=>([3, 47]).positive?

  it "grows and shrinks the database" do
    [
      ["larger", "CREATE TABLE other (bytes); INSERT INTO other VALUES (zeroblob(2000000))"],
      ["smaller", "DROP TABLE other; DELETE FROM filling WHERE id > 4900; VACUUM"]
    ].each do |name, change|
      file = changed { |db| db.execute_batch("#{change}; UPDATE items SET name = '#{name}'") }

      expect(app.hotswap("cp", file, "database", "--skip-schema-check")).to have_attributes(exit_code: 0, stderr: /In place/)
      expect_live(file)
      expect(@stranger.ask("INSERT INTO items (name) VALUES ('by a stranger')")).to eq ""
      expect(app.version).to eq "#{name} by a stranger"
      expect(TestDatabase.integrity(path)).to eq "ok"
      @stranger.ask("DELETE FROM items WHERE name = 'by a stranger'")
      # What is pulled now is as long as it says.
      expect(app.hotswap("cp", changed { |db| db.execute("DELETE FROM items WHERE id > 5") }, "database")).to have_attributes(exit_code: 0)
    end
  end

  # Fails without the new number in `put_pages`: with the one that it knows, the stranger goes on with the old schema, and
  # its row is in the other table.
  it "makes other connections reload the schema, even if both have the same schema version" do
    twins = changed { |db| db.execute("CREATE TABLE twins (id INTEGER PRIMARY KEY, name TEXT)") }
    expect(app.hotswap("cp", twins, "database", "--skip-schema-check")).to have_attributes(exit_code: 0, stderr: /In place/)
    expect(@stranger.ask("SELECT count(*) FROM twins")).to eq "0"
    number = TestDatabase.read(path) { |db| db.get_first_value("PRAGMA schema_version") }
    swapped = changed do |db|
      db.execute_batch("ALTER TABLE items RENAME TO aside; ALTER TABLE twins RENAME TO items; ALTER TABLE aside RENAME TO twins")
      db.execute("PRAGMA schema_version = #{number}")
    end

    log = app.log.length
    expect(app.hotswap("cp", swapped, "database", "--skip-schema-check")).to have_attributes(exit_code: 0, stderr: /In place/)
    expect(pages_written(log)).to be < 10
    expect(@stranger.ask("INSERT INTO items (name) VALUES ('by a stranger')")).to eq ""
    expect(TestDatabase.read(path) { |db| db.execute("SELECT name FROM items").flatten }).to eq ["by a stranger"]
    expect(TestDatabase.integrity(path)).to eq "ok"
  ensure
    app.hotswap("cp", twins, "database", "--skip-schema-check") if twins
  end
end
