# frozen_string_literal: true

# In this mode a writer locks out all other connections, so a spec can stop a pull in the middle.
RSpec.describe "a database with a rollback journal", lane: "default" do
  before(:context) { @app = ItemsServer.start(journal_mode: "delete") }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:folder) { app.root.join("backups").tap(&:mkpath) }
  let(:backup) { folder.join("backup.sqlite3") }

  after { FileUtils.rm_rf(folder) }

  def journal_mode(file = app.database_path) = TestDatabase.read(file) { |db| db.get_first_value("PRAGMA journal_mode") }

  # Keeps readers and writers out for the length of the block.
  def locked
    db = SQLite3::Database.new(app.database_path)
    db.busy_timeout = 5_000
    db.execute("BEGIN EXCLUSIVE")
    yield
  ensure
    db&.close
  end

  # A pull that waits for the lock; the block runs meanwhile.
  def waiting_pull(to = backup)
    log = app.log.length
    locked do
      pull = app.start_hotswap("cp", "database", to)
      eventually { app.log[log..].include?("pull started") }
      # The worker has SQLite's file open, and so the target as well.
      eventually { app.process.members.size > 1 }
      yield pull
      pull
    end
  end

  it "keeps its journal mode when a WAL-mode file is pushed" do
    file = app.file("files/wal.sqlite3", ItemsServer::SCHEMA, %w[from wal], journal_mode: "wal")

    expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "from wal"
    expect(journal_mode).to eq "delete"
    expect(app.stray_files).to eq []
    expect(Dir.glob("#{app.database_path}-*")).to eq []
  end

  # live/mod.rs, `remove_sidecars`. One that is hot SQLite takes back before that, when the worker reads the old database.
  it "never applies an old journal to the new file" do
    fill = "INSERT INTO items (name) SELECT hex(zeroblob(1000)) || a.value FROM json_each('[#{(1..9).to_a.join(",")}]') a, json_each('[1,2,3,4,5,6,7,8,9]') b"
    {
      "PERSIST" => ["PRAGMA journal_mode = PERSIST", "INSERT INTO items (name) VALUES ('there before')"],
      "exclusive" => ["PRAGMA journal_mode = TRUNCATE", "PRAGMA locking_mode = EXCLUSIVE", "INSERT INTO items (name) VALUES ('there before')"],
      "hot" => ["PRAGMA cache_size = 1", fill, "BEGIN", "UPDATE items SET name = 'half done'"]
    }.each do |what, statements|
      stranger = Stranger.ruby(app.database_path)
      statements.each { |statement| expect(stranger.ask(statement)).not_to start_with("Error") }
      stranger.stop
      expect(File.exist?("#{app.database_path}-journal")).to be true

      pushed = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, [what]), "database", "--skip-schema-check")
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
      expect(Dir.glob("#{app.database_path}-*")).to eq []
      expect(app.version).to eq what
      expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    end
  end

  it "can be pulled byte for byte" do
    expect(app.hotswap("cp", "database", backup)).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
    expect(backup.binread == File.binread(app.database_path)).to be true
    expect(app.hotswap("cp", "database", "-").stdout == backup.binread).to be true
    expect(journal_mode(backup)).to eq "delete"
  end

  it "appears under the target's name only when the pull is complete" do
    pull = waiting_pull do |waiting|
      expect(waiting).to be_running
      expect(folder.children.map { |file| file.basename.to_s }.grep_v(/\A\.hotswap-/)).to eq []
    end

    expect(pull.wait).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
    expect(folder.children).to eq [backup]
    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
  end

  {INT: 130, TERM: 143, HUP: 129, KILL: nil}.each do |signal, status|
    it "keeps yesterday's backup if the pull gets SIG#{signal}" do
      backup.write("yesterday's")
      backup.chmod(0o640)
      log = app.log.length
      result = untouched do
        waiting_pull do |pull|
          pull.kill(signal)
          expect(pull.wait).to have_attributes(exit_code: status, stdout: "", stderr: "")
        end
      end

      expect(result).not_to be_running
      expect(backup.read).to eq "yesterday's"
      expect(backup.stat.mode & 0o777).to eq 0o640
      # The next pull removes the file that a killed command could not, where files without a name do not exist.
      expect(folder.children.size).to be <= ((status || Project.linux?) ? 1 : 2)
      eventually { app.process.members == [app.pid] }
      eventually { app.log[log..].include?("command failed: ") }
      expect(app.log[log..]).not_to include("pull complete")
    end
  end

  it "makes a pull exit with 4 if a writer keeps its lock", :slow do
    refused = locked { app.hotswap("cp", "database", backup) }

    expect(refused).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.stderr).to match(/\AERROR: .*app\.sqlite3: process #{Process.pid} .*keeps it locked\. End its transaction and try again/)
    expect(folder.children).to eq []
  end

  it "makes a push exit with 4 if a writer keeps its lock", :slow do
    file = app.file("files/late.sqlite3", ItemsServer::SCHEMA, %w[late])
    refused = untouched { locked { app.hotswap("cp", file, "database") } }

    expect(refused).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.stderr).to match(/^ERROR: .*app\.sqlite3.*try again/)
  end
end
