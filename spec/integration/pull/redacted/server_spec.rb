# frozen_string_literal: true

require "support/secrets"

# A redacted pull from a running application that writes, and that has other clients.
RSpec.describe "a redacted pull of a running application", lane: "default" do
  include Privileges

  schema = <<~SQL
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE counts (of TEXT PRIMARY KEY, n INTEGER);
    CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);
    CREATE VIRTUAL TABLE items_fts USING fts5(name, content='items', content_rowid='id');
    CREATE TRIGGER items_are_counted AFTER INSERT ON items BEGIN
      UPDATE counts SET n = n + 1;
      INSERT INTO items_fts (rowid, name) VALUES (new.id, new.name);
    END;
    INSERT INTO counts VALUES ('items', 0);
    INSERT INTO users (email) VALUES ('secretmail1'), ('secretmail2'), ('secretmail3');
  SQL
  # Each row takes a while, so that things can happen meanwhile.
  slowly = "(WITH RECURSIVE n (i) AS (SELECT users.id UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) || '@x' FROM n)"
  settings = %(config.redact "users", email: ENV["SLOWLY"] ? #{slowly.inspect} : "id || '@x'"; config.pull = :redacted)

  # With a script for redact_with, or without one.
  define_method(:start) do |script: nil, **options, &block|
    with_script = script ? %(#{settings}; config.redact_with "grow.sql") : settings
    @app = ItemsServer.start(schema: schema, settings: with_script, **options) do |server|
      server.root.join("grow.sql").write(script) if script
      block&.call(server)
    end
  end

  after { @app&.tear_down }

  attr_reader :app

  def copy = app.root.join("files/copy.sqlite3").tap { |path| path.dirname.mkpath }

  def read(path = copy, &) = TestDatabase.read(path, &)

  def staged = app.root.glob("storage/.*.staged*")

  def workers = app.process.members - [app.pid]

  # A pull while the worker builds the copy.
  def during_a_pull(*arguments, **options)
    before = staged
    pull = app.start_hotswap("cp", "database", *arguments, **options)
    eventually { (staged - before).any? }
    yield pull
  end

  it "is of one state, while the application writes" do
    start(env: {"SLOWLY" => "1"})
    written = 0
    during_a_pull(copy, "--redacted") do |pull|
      while pull.running?
        written += 1
        expect(app.post("/", name: "item #{written}").status).to eq 200
      end
      expect(pull.wait).to have_attributes(exit_code: 0)
    end

    expect(written).to be > 3
    items, counted = read { |db| db.execute("SELECT (SELECT count(*) FROM items), n FROM counts").first }
    expect(items).to eq(counted).and be < read(app.database_path) { |db| db.get_first_value("SELECT n FROM counts") }
    expect(Secrets.in_file(copy)).to eq []
    expect(staged).to eq []
    Secrets.open(copy) { |db| db.execute("INSERT INTO items_fts (items_fts, rank) VALUES ('integrity-check', 1)") }
  end

  it "leaves nothing behind when its worker or its client is killed" do
    start(env: {"SLOWLY" => "1"})
    during_a_pull(copy, "--redacted") do |pull|
      Process.kill(:KILL, workers.first)
      expect(pull.wait).to have_attributes(exit_code: 5, stderr: /the worker was killed/)
    end
    during_a_pull(copy, "--redacted") do |pull|
      expect(staged.size).to eq 1 # The full-text indexes: the copy is in the client's file. The next pull removes that of the dead worker first.
      pull.kill
      eventually { workers.empty? }
    end

    expect(app.hotswap("cp", "database", copy, "--redacted")).to have_attributes(exit_code: 0) unless Project.linux? # It removes the file with a name.
    expect([staged, copy.dirname.children - [copy]]).to eq [[], []]
    expect(app.version).to eq "old"
  end

  it "keeps no push waiting for a slow reader" do
    start { |server| SQLite3::Database.new(server.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(1000000)))") } }
    reader, writer = IO.pipe(binmode: true)
    pull = app.start_hotswap("cp", "database", "-", "--redacted", out: writer)
    writer.close
    expect(reader.read(100_000).bytesize).to eq 100_000
    expect(app.hotswap("cp", app.file("files/new.sqlite3", schema, %w[new]), "database")).to have_attributes(exit_code: 0)
    expect([app.version, pull.running?]).to eq ["new", true]
    reader.read
    expect(pull.wait).to have_attributes(exit_code: 0)
    expect(staged).to eq []
  ensure
    reader&.close
  end

  it "is the only kind for a client that is not root" do
    user = 12_346
    as_client = as_user(user)
    start(by_way_of: as_user(user)) { |server| FileUtils.chown_R(user, user, server.root) }
    plain = app.root.join("plain.sqlite3")
    others = app.hotswap("cp", "database", "-", program: [*as_client, *HotswapCommand::PROGRAM])
    copy.binwrite(others.stdout)

    expect(others).to have_attributes(exit_code: 0, stderr: /The copy is redacted: config\.hotswap\.pull allows others than root no plain one\./)
    expect(Secrets.in_file(copy)).to eq []
    expect(read { |db| db.execute("SELECT email FROM users").flatten }).to eq %w[1@x 2@x 3@x]
    expect(app.hotswap("cp", app.file("files/new.sqlite3", schema, %w[new]), "database")).to have_attributes(exit_code: 0)
    version = app.hotswap("cp", "previous:database", "-", program: [*as_client, *HotswapCommand::PROGRAM])
    expect(version.exit_code).to eq 0
    expect(version.stdout.b).not_to include("secretmail")
    expect(app.hotswap("cp", "database", plain)).to have_attributes(exit_code: 0)
    expect(Secrets.in_file(plain)).to eq ["secretmail"]
    # The worker cannot open a file of root's by itself.
    expect(app.hotswap("cp", "database", copy.tap(&:delete), "--redacted")).to have_attributes(exit_code: 0)
    expect(read { |db| db.execute("SELECT email FROM users").flatten }).to eq %w[1@x 2@x 3@x]
  end

  it "ends a script that fills the disk, while the application has room" do
    skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
    grow = "CREATE TABLE much AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT randomblob(1000000) AS x FROM n;"
    disk = nil
    start(script: grow) { |server| disk = SmallDisk.new(server.root.join("storage"), 64).tap(&:mount) }
    least = free = disk.free
    watching = Thread.new { loop { sleep(0.001) && least = [least, disk.free].min } }

    expect(app.hotswap("cp", "database", copy, "--redacted")).to have_attributes(exit_code: 3, stderr: /grow\.sql.*the copy grows so far that the disk has no room for it and for the application/)
    expect(least).to be > 15_000_000
    expect(disk.free).to be_within(1_000_000).of(free)
  ensure
    watching&.kill
    disk&.unmount
    FileUtils.rm_rf(app.root) if disk
  end

  describe "on a disk that is nearly full" do
    before do |example|
      skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
      start do |server|
        next mount(server) if example.metadata[:small]

        SQLite3::Database.new(server.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(5000000)))") }
        mount(server)
      end
    end

    def mount(server)
      @root = server.root
      @disk = SmallDisk.new(server.root.join("storage"), 32).tap(&:mount)
    end

    after do
      @disk&.unmount
      FileUtils.rm_rf(@root) if @root
    end

    it "is refused with the figures, and leaves the application its room" do
      before = @disk.free

      expect(app.hotswap("cp", "database", copy, "--redacted")).to have_attributes(exit_code: 3, stderr: /the copy needs \d+ MB plus a reserve of 16 MB, but only \d+ MB are free/)
      expect(@disk.free).to be_within(1_000_000).of(before)
      expect(app.post("/", name: "afterwards").status).to eq 200
    end

    it "succeeds if only the file of the WAL is long, and not what is in it", :small do
      expect(app.post("/", name: "new").status).to eq 200
      log = "#{app.database_path}-wal"
      File.truncate(log, File.size(log) + 64_000_000)

      expect(app.hotswap("cp", "database", copy, "--redacted")).to have_attributes(exit_code: 0)
      expect(read { |db| db.execute("SELECT name FROM items").flatten }).to include("new")
    end
  end
end
