# frozen_string_literal: true

# With a rollback journal a reader keeps a writer out, and an idle connection cannot be told from none by any lock
# of SQLite: the kernel's lease tells.
RSpec.describe "a push in place to a database with a rollback journal", lane: "default" do
  before(:context) do
    @app = ItemsServer.start(journal_mode: "delete", settings: "config.timeout = 1.5; config.max_pause = 0.4")
  end
  after(:context) { @app&.tear_down }

  attr_reader :app

  before do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    @old = app.version
  end

  def push(name, schema: ItemsServer::SCHEMA, journal_mode: "wal")
    app.hotswap("cp", app.file("files/new.sqlite3", schema, [name], journal_mode: journal_mode), "database")
  end

  def pragma(name) = TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA #{name}") }

  it "is visible to an idle reader, and keeps the journal mode" do
    idle = [Stranger.shell(app.database_path), Stranger.ruby(app.database_path)]
    idle.each { |stranger| expect(stranger.ask("SELECT name FROM items")).to eq @old }
    inode = File.stat(app.database_path).ino

    result = push("in place")
    expect(result).to have_attributes(exit_code: 0), result.stderr
    expect(result.stderr).to include(*idle.map { |stranger| Project.linux? ? "process #{stranger.pid} (" : "could be open" })
    idle.each { |stranger| expect(stranger.ask("SELECT name FROM items")).to eq "in place" }
    large = push("large pages", schema: "PRAGMA page_size = 16384; #{ItemsServer::SCHEMA}", journal_mode: "delete")
    expect(large).to have_attributes(exit_code: 0), large.stderr
    idle.each { |stranger| expect(stranger.ask("SELECT name FROM items")).to eq "large pages" }
    expect(idle.first.ask("INSERT INTO items (name) VALUES ('by a stranger')")).to eq ""

    expect(app.version).to eq "large pages by a stranger"
    expect(File.stat(app.database_path).ino).to eq inode
    expect([pragma("journal_mode"), pragma("page_size"), pragma("integrity_check")]).to eq ["delete", 16_384, "ok"]
    expect(app.stray_files).to eq []
  end

  # Fails if `backup::write` assumes a lock that it does not have.
  it "fails if another program is reading, names it, and holds requests only briefly" do
    reader = Stranger.shell(app.database_path)
    reader.ask("BEGIN")
    reader.ask("SELECT * FROM items")

    refused = push("never")
    expect(refused).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.stderr).to match(/is locked by a transaction\. It is open in #{HotswapCommand.named(reader.pid)}/)
    expect(app.version).to eq @old
    expect(pragma("integrity_check")).to eq "ok"

    reader.ask("COMMIT")
    expect(push("after all")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "after all"
  end
end
