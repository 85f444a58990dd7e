# frozen_string_literal: true

# A program outside the fleet that has the file open would keep using the replaced file, and damage the new one through
# its WAL. So the file stays, and its content changes.
RSpec.describe "a push while another program has the database open", lane: "default" do
  before(:context) { @app = ItemsServer.start(settings: "config.timeout = 1.5; config.max_pause = 0.4") }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:path) { app.database_path }

  before do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    # The application is a member, and so no stranger, once it has the database open.
    @old = app.version
    @inode = File.stat(path).ino
  end

  def push(*options, names: ["new-#{rand(1_000_000)}"], schema: ItemsServer::SCHEMA)
    @new = names.join(" ")
    app.hotswap("cp", app.file("files/new.sqlite3", schema, names), "database", *options)
  end

  def expect_in_place(result, *strangers)
    expect(result).to have_attributes(exit_code: 0, stdout: "OK\n"), result.stderr
    expect(result.stderr).to start_with("Swapping database...\nIn place, because the database #{Project.linux? ? "is open in process" : "could be open"} ")
    expect(result.stderr).to include(*strangers.map { |stranger| "process #{stranger.pid} (" }) if Project.linux?
    expect(File.stat(path).ino).to eq @inode
    expect_whole(@new)
  end

  def expect_refused(result, stranger)
    expect(result).to have_attributes(exit_code: 4, stdout: "")
    expect(result.stderr).to match(Project.linux? ? /ERROR: .* open in process #{stranger.pid} \(/ : /ERROR: /)
    expect(File.stat(path).ino).to eq @inode
    expect_whole(@old)
  end

  def expect_whole(names)
    expect(app.version).to eq names
    expect(TestDatabase.integrity(path)).to eq "ok"
    expect(TestDatabase.read(path) { |db| db.get_first_value("PRAGMA journal_mode") }).to eq "wal"
    expect(app.stray_files).to eq []
  end

  def page_size(file) = TestDatabase.read(file) { |db| db.get_first_value("PRAGMA page_size") }

  def names(stranger) = stranger.ask("SELECT group_concat(name, ' ') FROM items")

  # Fails without `Why::foreseen` and the fallback of `push::run`: then it is refused.
  it "writes in place, and every program continues with the new rows" do
    strangers = [Stranger.shell(path), Stranger.shell(path), Stranger.ruby(path)]
    strangers << Stranger.python(path) if Stranger.available?("python3")
    strangers.drop(1).each { |stranger| expect(names(stranger)).to eq @old }

    expect_in_place(push, *strangers)

    strangers.each_with_index do |stranger, index|
      expect(names(stranger)).to start_with(@new)
      expect(stranger.ask("INSERT INTO items (name) VALUES ('by-#{index}')")).to eq ""
    end
    expect_whole([@new, *strangers.each_index.map { |index| "by-#{index}" }].join(" "))
  end

  # Fails without the transaction of `backup::write`, which hides half-written content.
  it "does not change what a running read sees" do
    reader = Stranger.shell(path)
    reader.ask("BEGIN")
    expect(names(reader)).to eq @old

    expect_in_place(push, reader)

    expect(names(reader)).to eq @old
    reader.ask("COMMIT")
    expect(names(reader)).to eq @new
  end

  # Fails without `wait_for_the_write_lock`: the worker would hold requests because of a forgotten transaction.
  it "fails during another program's write transaction without holding requests, and succeeds after it" do
    writer = Stranger.shell(path)
    writer.ask("BEGIN IMMEDIATE")
    writer.ask("INSERT INTO items (name) VALUES ('of the writer')")
    log = app.log.length

    visits = 0
    visitor = Thread.new { loop { visits += 1 if app.version == @old } }
    refused = push
    visitor.kill.join
    expect_refused(refused, writer)
    expect(visits).to be > 100
    expect(app.log[log..]).not_to include("request queued")

    expect(writer.ask("COMMIT")).to eq ""
    expect(app.version).to eq "#{@old} of the writer"
    expect_in_place(push, writer)
  end

  it "waits for a transaction that ends in time" do
    writer = Stranger.shell(path)
    writer.ask("BEGIN IMMEDIATE")
    log = app.log.length
    file = app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["waited"])
    waiting = app.start_hotswap("cp", file, "database")
    eventually { app.log[log..].include?("in place, because") }
    expect(writer.ask("COMMIT")).to eq ""

    @new = "waited"
    expect_in_place(waiting.wait, writer)
  end

  # Fails without `Lease::ask`: the program holds no lock, and not every open descriptor belongs to SQLite.
  it "writes in place if a program opened the file as immutable, or has it mapped" do
    skip "this Ruby has no fiddle" unless system(RbConfig.ruby, "-e", "require 'fiddle'", err: File::NULL)
    strangers = [Stranger.ruby("file:#{path}?immutable=1"), Stranger.mapping(path)]
    expect(strangers.last.ask("")).to eq "SQLite format 3"

    expect_in_place(push, *strangers)
    expect(strangers.last.ask("")).to eq "SQLite format 3"
  end

  # Fails without the question for the choice in `push::run`.
  it "is refused with the program's name under --in-place=never, and replaces the file when the program has closed it", :linux do
    stranger = Stranger.shell(path)
    names(stranger)
    expect_refused(push("--in-place=never"), stranger)
    stranger.stop

    result = push("--in-place", "never")
    expect(result).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
    expect(File.stat(path).ino).not_to eq @inode
    expect_whole(@new)
  end

  it "writes in place with --in-place=always, even if no program has the file open" do
    result = push("--in-place=always")
    why = Project.linux? ? /keeps its file \(--in-place=always\)/ : /could be open in a process outside .*/

    expect(result).to have_attributes(exit_code: 0,
      stderr: /\ASwapping database\.\.\.\nIn place, because the database #{why}\.\n.*, \d+ bytes, written in place, .*\n\z/)
    expect(File.stat(path).ino).to eq @inode
    expect_whole(@new)
  end

  it "accepts smaller and larger content, another schema and another page size" do
    stranger = Stranger.shell(path)
    many = Array.new(5_000) { |number| "name-#{number}" }
    index = "#{ItemsServer::SCHEMA}; CREATE INDEX by_name ON items (name)"
    shifted = "CREATE TABLE items (secret TEXT, id INTEGER PRIMARY KEY, name TEXT)"

    [
      [many, ItemsServer::SCHEMA], [["few"], ItemsServer::SCHEMA], [["indexed"], index], [%w[shifted], shifted],
      [["back"], ItemsServer::SCHEMA], [["large pages"], "PRAGMA page_size = 16384; #{ItemsServer::SCHEMA}"],
      [["vacuumed"], "PRAGMA auto_vacuum = 1; #{ItemsServer::SCHEMA}"], [["the end"], ItemsServer::SCHEMA]
    ].each do |names, schema|
      expect_in_place(push("--skip-schema-check", names: names, schema: schema), stranger)
      expect(names(stranger)).to eq @new
      # With a write-ahead log it cannot change; a file with larger pages was really pushed.
      expect(page_size(app.root.join("files/new.sqlite3"))).to eq schema[/page_size = (\d+)/, 1]&.to_i || 4096
      expect(page_size(path)).to eq 4096
    end
    stranger.ask("INSERT INTO items (name) VALUES ('by a stranger')")
    expect_whole("the end by a stranger")
  end

  # Fails without `adapt::refuse_another_encoding`: then it says OK, and every open connection is broken.
  it "refuses another encoding before any request waits" do
    stranger = Stranger.shell(path)
    expect(names(stranger)).to eq @old
    log = app.log.length
    result = push(schema: "PRAGMA encoding = 'UTF-16le'; #{ItemsServer::SCHEMA}")

    expect(result).to have_attributes(exit_code: 3, stdout: "")
    expect(result.stderr).to include("stores text as UTF-16le, the live database as UTF-8")
    expect(app.log[log..]).not_to include("requests are queued")
    expect(names(stranger)).to eq @old
    expect_whole(@old)
  end

  # Its mounts are its own: the same file has another path and another mount's number there.
  it "writes in place if a process in another container has the file open by another path" do
    elsewhere = app.root.join("elsewhere").tap(&:mkpath)
    mount = "mount --bind #{File.dirname(path)} #{elsewhere} && exec \"$@\""
    container = %w[unshare --mount --propagation private sh -c] + [mount, "sh"]
    skip "no namespaces can be made here" unless system(*container, "true", err: File::NULL)
    stranger = Stranger.shell(elsewhere.join(File.basename(path)).to_s, by_way_of: container)
    expect(names(stranger)).to eq @old

    expect_in_place(push, stranger)
    expect(names(stranger)).to eq @new
  end
end
