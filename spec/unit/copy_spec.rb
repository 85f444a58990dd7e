# frozen_string_literal: true

require "tempfile"
require_relative "unit_helper"

RSpec.describe "Hotswap.push and Hotswap.pull", lane: "default" do
  include_context "with hotswap in this process"

  # A source that raises after its first part.
  broken = Struct.new(:io) do
    def read(length)
      raise IOError, "the upload broke off" if io.pos.positive?

      io.read([length, io.size / 2].min)
    end
  end

  # A target whose reader leaves.
  left = Class.new do
    def write(*) = raise(EncodingError, "the client has left")
  end

  before do
    database("app.sqlite3", "old")
    Hotswap.database_path = folder.join("app.sqlite3").to_s
  end

  def database(name, item)
    path = folder.join(name).to_s
    SQLite3::Database.new(path) do |db|
      db.execute_batch(ItemsServer::SCHEMA)
      db.execute("INSERT INTO items (name) VALUES (?)", [item])
    end
    path
  end

  def item(path = folder.join("app.sqlite3"))
    TestDatabase.read(path) { |db| db.get_first_value("SELECT name FROM items") }
  end

  def files = folder.children.map { |path| path.basename.to_s }.sort

  def new_file = @new_file ||= database("new.sqlite3", "new")

  def result(way) = have_attributes(database: Hotswap.databases.first, bytes: File.size(new_file), seconds: be > 0, way: way)

  sources = {
    "a path" => :itself,
    "a Pathname" => ->(path) { Pathname(path) },
    "an open file" => ->(path) { File.open(path, "rb") },
    "a StringIO" => ->(path) { StringIO.new(File.binread(path)) },
    "a Tempfile" => ->(path) { Tempfile.new(binmode: true).tap { |file| file.write(File.binread(path)) && file.rewind } },
    "an object that can be read" => ->(path) { Struct.new(:io) { def read(length) = io.read(length) }.new(File.open(path, "rb")) }
  }

  sources.each do |what, make|
    it "pushes #{what}" do
      expect(Hotswap.push(make.to_proc.call(new_file), to: :primary)).to result(HotswapCommand::BY.to_sym).and have_attributes(held: be > 0)
      expect(item).to eq "new"
    end
  end

  it "takes the options of the command line" do
    file = database("other.sqlite3", "another schema").tap { |path| SQLite3::Database.new(path) { |db| db.execute("CREATE TABLE more (a)") } }
    pushed = Hotswap.push(file, to: "app.sqlite3", skip_schema_check: true, in_place: :always, timeout: 3, max_pause: 1, label: "build 7")

    expect(pushed.way).to eq :in_place
    expect(item).to eq "another schema"
    expect(log.string).to include("--skip-schema-check, --in-place=always, --timeout=3, --max-pause=1, --label=build 7")
  end

  it "refuses a guard that is nil" do
    expect { Hotswap.push(new_file, if_match: nil) }.to raise_error(Hotswap::UsageError, /if_match is nil/)
    expect { Hotswap.push(new_file, only: nil) }.to raise_error(Hotswap::UsageError, /only is nil. Pass names of tables, or leave only out/)
    expect { Hotswap.push(new_file, except: []) }.to raise_error(Hotswap::UsageError, /names of tables, separated by commas/)
    expect(item).to eq "old"
  end

  it "pulls to a path, a Pathname, an open file and a StringIO" do
    string, file = StringIO.new, File.open(folder.join("open.sqlite3"), "wb")
    pulls = [folder.join("pulled.sqlite3").to_s, folder.join("too.sqlite3"), file, string].map { |target| Hotswap.pull(:primary, to: target) }
    folder.join("string.sqlite3").binwrite(string.string)

    expect(pulls).to all result(nil).and have_attributes(held: 0.0)
    expect(%w[pulled too open string].map { |name| item(folder.join("#{name}.sqlite3")) }).to eq %w[old] * 4
    expect(file).not_to be_closed
  end

  it "names a database by its name, its path, or itself" do
    other = Hotswap.register(database("queue.sqlite3", "old"), name: "queue")
    [:queue, "queue", other.path, other].each do |name|
      expect(Hotswap.pull(name, to: StringIO.new).database).to be other
    end
    expect(Hotswap.pull(to: StringIO.new).database).to be Hotswap.databases.first
  end

  # A file of this name does not exist, so that the command would take it for the database.
  it "takes the other side for a path, also where a database has that name" do
    Hotswap.register(database("queue.sqlite3", "old"), name: "queue")
    Dir.chdir(folder) { Hotswap.pull(:primary, to: "queue") }

    expect(item(folder.join("queue"))).to eq "old"
  end

  refusals = {
    "no database" => [Hotswap::Refused, /file is not a database/, ->(spec) { StringIO.new("no database" * 1000) }],
    "a file that is missing" => [Hotswap::Refused, /cannot read .*missing: No such file/, ->(spec) { spec.folder.join("missing") }],
    "a folder" => [Hotswap::UsageError, /is a folder/, :folder],
    "a closed file" => [Hotswap::UsageError, /the source is closed/, ->(spec) { File.open(spec.new_file).tap(&:close) }],
    "a closed StringIO" => [Hotswap::UsageError, /the source is closed/, ->(spec) { StringIO.new.tap(&:close) }],
    "a file that is open for writing" => [Hotswap::UsageError, /not open for this direction/, ->(spec) { File.open(spec.new_file, "a") }],
    "an object that is no IO" => [Hotswap::UsageError, /the source must be a path or an IO, not 17/, ->(spec) { 17 }],
    "an upload that breaks off" => [IOError, "the upload broke off", ->(spec) { broken.new(File.open(spec.new_file, "rb")) }]
  }

  refusals.each do |what, (error, message, source)|
    it "refuses #{what}, changes nothing and leaves nothing" do
      new_file
      before = files - %w[app.sqlite3.hotswap app.sqlite3.hotswap.log]
      source = source.to_proc.call(self)

      expect { Hotswap.push(source, to: :primary) }.to raise_error(error, message)
      expect(item).to eq "old"
      eventually { expect(files - %w[app.sqlite3.hotswap app.sqlite3.hotswap.log]).to eq before }
    end
  end

  it "raises what the target of a pull raises, and refuses one that is closed" do
    expect { Hotswap.pull(to: left.new) }.to raise_error(EncodingError, "the client has left")
    expect { Hotswap.pull(to: File.open(new_file)) }.to raise_error(Hotswap::UsageError, /the target is closed, or not open/)
  end

  it "refuses an unknown database, and a process without databases" do
    expect { Hotswap.push(new_file, to: :nope) }.to raise_error(Hotswap::UsageError, /:nope is not a managed database\. The managed databases are app\.sqlite3/)
    Hotswap.databases.clear
    Hotswap.configuration.database_path = nil
    expect { Hotswap.pull(to: "x") }.to raise_error(Hotswap::UsageError, /manages no database in this process/)
  end

  it "refuses a push inside a request at once, and pulls there" do
    Hotswap.configuration.timeout = 600
    opened = SQLite3::Database.new(folder.join("app.sqlite3").to_s)
    Hotswap::Gate.pass("GET /") do
      expect { Hotswap.push(new_file) }.to raise_error(Hotswap::Refused, /this request or job would wait for its own push/)
      expect(Hotswap.pull(to: StringIO.new).bytes).to eq File.size(folder.join("app.sqlite3"))
    end
    opened.close
  end

  it "says which process is in the way" do
    # Not a unit of work, and nothing closes it.
    opened = SQLite3::Database.new(folder.join("app.sqlite3").to_s)
    expect { Hotswap.push(new_file, timeout: 0.1, max_pause: 0.1) }.to raise_error(Hotswap::Busy, /In the way:\n- process #{Process.pid} /)
    opened.close
  end

  describe Hotswap::Database do
    let(:stdout) { StringIO.new }
    let(:stderr) { StringIO.new }

    it "prints what the command prints, and says whether it worked" do
      live = Hotswap.databases.first
      expect(live.push(new_file, stdout: stdout, stderr: stderr)).to be true
      expect([stdout.string, stderr.string]).to match ["OK\n", HotswapCommand::SWAPPED]
      expect(live.push(folder.join("missing"), stdout: stdout, stderr: stderr)).to be false
      expect(live.push(broken.new(File.open(new_file, "rb")), stdout: stdout, stderr: stderr)).to be false
      expect(stderr.string).to end_with("missing: No such file or directory\nERROR: the upload broke off\n")
      expect(live.pull(folder.join("pulled.sqlite3"), stderr: stderr)).to be true
      expect(item(folder.join("pulled.sqlite3"))).to eq "new"
    end
  end
end
