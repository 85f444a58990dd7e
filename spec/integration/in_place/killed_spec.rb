# frozen_string_literal: true

# A worker that dies while it writes has changed nothing. In WAL mode its frames have no commit. With a rollback
# journal, the next process rolls them back.
RSpec.describe "a worker that is killed while it writes in place", :slow, lane: "default" do
  %w[wal delete].each do |mode|
    it "leaves the old database, with journal_mode #{mode}" do
      app = keep(ItemsServer.start(journal_mode: mode) { |server| fill(server.database_path, "old", 8) })
      expect(app.version).to eq "old"
      inode = File.stat(app.database_path).ino
      large = app.file("files/large.sqlite3", ItemsServer::SCHEMA, []).tap { |path| fill(path, "new", 60) }
      before = TestDatabase.content(app.database_path)

      push = killed_in_the_middle(app, large)

      expect(push).to have_attributes(exit_code: 5, stdout: "")
      expect(push.stderr).to include("the worker was killed before it reported the outcome (SIGKILL")
      expect(app.version).to eq "old"
      expect(TestDatabase.content(app.database_path)).to eq before
      expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      expect(TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA journal_mode") }).to eq mode

      expect(app.hotswap("cp", large, "database", "--in-place=always")).to have_attributes(exit_code: 0)
      expect(app.version).to eq "new"
      expect(File.stat(app.database_path).ino).to eq inode
      expect(app.stray_files).to eq []
    end
  end

  def fill(path, name, megabytes)
    SQLite3::Database.new(path) do |db|
      db.execute("DELETE FROM items")
      db.execute("CREATE TABLE IF NOT EXISTS filling (bytes)")
      megabytes.times { db.execute("INSERT INTO filling VALUES (randomblob(1000000))") }
      db.execute("INSERT INTO items (name) VALUES (?)", [name])
    end
  end

  # Stopped when a part of the new content is on the disk, and the rest is not.
  def killed_in_the_middle(app, file)
    log = app.log.length
    push = app.start_hotswap("cp", file, "database", "--in-place=always", "--skip-integrity-check", "--skip-schema-check")
    begun = written(app)
    eventually(30, every: 0.001) { app.log[log..].include?("in place, because") }
    eventually(30, every: 0.001) { written(app) > begun + 8_000_000 || !push.running? }
    worker = workers(app).first
    Process.kill(:STOP, worker)
    expect(app.log[log..]).not_to include("wrote ")
    Process.kill(:KILL, worker)
    push.wait
  end

  # Into the log, or past a journal into the file itself.
  def written(app) = ["", "-wal"].sum { |suffix| File.size?("#{app.database_path}#{suffix}") || 0 }

  def workers(app) = app.process.members.select { |pid| ServerProcess.command_line(pid).start_with?("hotswap worker") }
end
