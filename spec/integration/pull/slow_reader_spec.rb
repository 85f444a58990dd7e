# frozen_string_literal: true

module SlowReader
  # Longer than the pipe, and all that is read in advance.
  def self.serve(journal_mode)
    ItemsServer.start(journal_mode: journal_mode) do |server|
      SQLite3::Database.new(server.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(4000000)))") }
      yield server if block_given?
    end
  end

  def live(&) = SQLite3::Database.new(app.database_path, &)

  # Starts a pull, and reads it only after the block. Returns its output.
  def read_late(ends = IO.pipe(binmode: true))
    reader, writer = ends
    pull = app.start_hotswap("cp", "database", "-", out: writer)
    writer.close
    yield pull
    reader.read.tap { expect(pull.wait).to have_attributes(exit_code: 0, stderr: HotswapCommand::STREAMED) }
  ensure
    reader&.close
  end

  def expect_copy(pulled, content)
    copy = app.root.join("copy.sqlite3").tap { |file| file.binwrite(pulled) }
    expect(TestDatabase.integrity(copy)).to eq "ok"
    expect(TestDatabase.content(copy)).to eq content
  end
end

# With the Linux backend, the worker writes to the pipe itself.
%w[wal delete].each do |journal_mode|
  RSpec.describe "a pull by a slow reader, with journal mode #{journal_mode}", :linux, lane: "default" do
    include SlowReader

    before(:context) { @app = SlowReader.serve(journal_mode) }
    after(:context) { @app&.tear_down }

    attr_reader :app

    it "releases the database when it has a nameless copy, and returns the state at its start" do
      before = TestDatabase.content(app.database_path)
      files = Dir.children(File.dirname(app.database_path))
      log = app.log.length

      pulled = read_late do |pull|
        eventually { app.log[log..].include?("slow reader: copied the remaining pages and released the database") }
        expect(Dir.children(File.dirname(app.database_path))).to match_array(files)
        live { |db| db.execute("INSERT INTO items (name) VALUES ('meanwhile')") }
        live { |db| expect(db.execute("PRAGMA wal_checkpoint(TRUNCATE)")).to eq [[0, 0, 0]] } if journal_mode == "wal"
        expect(app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database").exit_code).to eq 0
        expect(app.version).to eq "new"
        expect(pull).to be_running
      end

      expect_copy(pulled, before)
      expect(app.log[log..]).to include("pull complete")
    end
  end

  # pull/mod.rs, send: the last arm.
  RSpec.describe "a pull by a slow reader without room for a copy, with journal mode #{journal_mode}", :linux, lane: "default" do
    include SlowReader

    before do
      skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
      @app = SlowReader.serve(journal_mode) do |server|
        @root = server.root
        @disk = SmallDisk.new(server.root.join("storage"), 26).tap(&:mount) # of which a copy leaves 16 MB
      end
    end

    after do
      @app&.tear_down
    ensure
      @disk&.unmount
      FileUtils.rm_rf(@root) if @root
    end

    attr_reader :app

    it "keeps the database open until the reader is done, and logs that" do
      before = TestDatabase.content(app.database_path)
      log = app.log.length
      room = free

      pulled = read_late do |pull|
        eventually { app.log[log..].match?(/slow reader: the database stays open until it is done: a copy for a slow reader needs \d MB plus a reserve of 16 MB, but only \d+ MB are free/) }
        expect(free).to be_within(1_000_000).of(room)
        expect_held
        expect(pull).to be_running
      end

      expect_copy(pulled, before)
      expect(app.post("/", name: "afterwards").status).to eq 200
      expect(app.log[log..]).to include("pull complete")
      expect(app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database").exit_code).to eq 0
      expect(app.version).to eq "new"
    end

    # space.rs, Growth.
    it "gives up before the WAL has filled the disk" do
      next if journal_mode == "delete"

      reader, writer = IO.pipe(binmode: true)
      pull = app.start_hotswap("cp", "database", "-", out: writer)
      writer.close
      log = app.log.length
      eventually { app.log[log..].include?("slow reader: the database stays open") }
      live do |db|
        db.busy_timeout = 5_000
        eventually { db.execute("INSERT INTO items (name) VALUES (hex(randomblob(200000)))") && !pull.running? }
        expect(db.execute("PRAGMA wal_checkpoint(TRUNCATE)")).to eq [[0, 0, 0]]
      end

      expect(pull.wait).to have_attributes(exit_code: 3, stderr: /pull stopped: the reader is slow, the application has written \d+ MB to the WAL meanwhile, and only \d+ MB are free/)
      expect(app.post("/", name: "afterwards").status).to eq 200
    ensure
      reader&.close
    end

    # In WAL mode, writers continue. In rollback-journal mode, they have to wait.
    define_method(:expect_held) do
      writing = -> { live { |db| db.execute("INSERT INTO items (name) VALUES ('meanwhile')") } }
      next expect(&writing).to raise_error(SQLite3::BusyException) if journal_mode == "delete"

      writing.call
      live { |db| expect(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").flatten.first).to eq 1 }
    end

    def free = `df --output=avail -B1 #{app.root.join("storage")}`.lines.last.to_i
  end
end

# If standard output is a socket, the client writes to it what it receives from the worker. So a slow reader makes the
# worker wait. With the portable backend, the client does so for a pipe, too.
RSpec.describe "a pull to a socket whose reader stands still", lane: "default" do
  include SlowReader

  attr_reader :app

  it "holds the database, so a push gives up, while the application writes" do
    @app = keep(SlowReader.serve("wal"))
    before = TestDatabase.content(app.database_path)
    new = app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new])

    pulled = read_late(Project.linux? ? UNIXSocket.pair : IO.pipe(binmode: true)) do |pull|
      eventually { app.log.include?("pull started") }
      expect(app.hotswap("cp", "--timeout", "2", new, "database")).to have_attributes(exit_code: 4, stderr: /^- process \d+\b.* copies the database/)
      expect(app.post("/", name: "meanwhile").status).to eq 200
      expect(pull).to be_running
    end

    expect_copy(pulled, before)
    expect(app.hotswap("cp", new, "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "new"
  end
end
