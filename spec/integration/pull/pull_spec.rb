# frozen_string_literal: true

RSpec.describe "a pull" do
  running_app

  let(:live) { "storage/production.sqlite3" }
  let(:folder) { app.root.join("backups").tap(&:mkpath) }
  let(:backup) { folder.join("backup.sqlite3") }

  after { FileUtils.rm_rf(folder) }

  def pull(to = backup, **options)
    pulled = app.hotswap("cp", live, to, **options)
    expect(pulled).to have_attributes(exit_code: 0, stderr: (to == "-") ? HotswapCommand::STREAMED : HotswapCommand::PULLED)
    pulled
  end

  def page(file, number) = File.binread(file, 4096, (number - 1) * 4096)

  # As SQLite itself copies a database.
  def backed_up
    copy = app.root.join("judge.sqlite3").to_s
    FileUtils.rm_f(copy)
    TestDatabase.read(app.database_path) do |source|
      SQLite3::Database.new(copy) { |target| SQLite3::Backup.new(target, "main", source, "main").tap { |run| run.step(-1) }.finish }
    end
    copy
  end

  it "to a file writes a whole database with the rows of the live one, and no other files" do
    before = TestDatabase.content(app.database_path)

    expect(pull.stdout).to eq ""
    expect(folder.children).to eq [backup]
    expect(TestDatabase.integrity(backup)).to eq "ok"
    expect(TestDatabase.content(backup)).to eq before
    expect(TestDatabase.content(app.database_path)).to eq before
  end

  it "to stdout sends the same bytes as to a file" do
    pull

    sent = pull("-").stdout
    expect(sent.bytesize).to eq 4096 * TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA page_count") }
    expect(sent == backup.binread).to be true
  end

  it "equals SQLite's own backup of an idle database, page for page" do
    app.post("/items", token: "one change")
    pull
    judge = backed_up

    expect(backup.size).to eq File.size(judge)
    differing = (1..backup.size / 4096).reject { |number| page(backup, number) == page(judge, number) }
    expect(differing - [1]).to eq []
    # On the first page a copy has its own journal mode, change counters and SQLite version.
    own = [18, 19, *24..27, *40..43, *92..99]
    bytes = [backup, judge].map { |file| page(file, 1).bytes.each_with_index.reject { |_, at| own.include?(at) } }
    expect(bytes.first).to eq bytes.last
  end

  it "includes rows that are only in the WAL" do
    SQLite3::Database.new(app.database_path) do |db|
      db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
      db.execute("INSERT INTO items (name, token) VALUES ('new', 'only in the wal')")
      expect(File.size("#{app.database_path}-wal")).to be > 0
      expect(File.binread(app.database_path)).not_to include("only in the wal")

      pull
      expect(pull("-").stdout).to include("only in the wal")
    end

    expect(TestDatabase.read(backup) { |db| db.get_first_value("SELECT name FROM items WHERE token = 'only in the wal'") }).to eq "new"
    expect(TestDatabase.integrity(backup)).to eq "ok"
  end

  it "is whole right after a push, while the new WAL is empty" do
    app.hotswap("cp", app.databases.release("just pushed"), live)
    expect(app.version).to eq "just pushed"
    expect(File.size("#{app.database_path}-wal")).to eq 0

    pull
    expect(pull("-").stdout == backup.binread).to be true
    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
  end

  # Every transaction writes the same number into rows that lie on many pages, and makes the file longer; every
  # tenth starts the -wal over.
  writer = <<~RUBY
    require "sqlite3"
    db = SQLite3::Database.new(ARGV[0])
    db.busy_timeout = 10_000
    1.upto(Float::INFINITY) do |n|
      db.transaction(:immediate) do
        db.execute("UPDATE posts SET title = ? WHERE id % 20 = 0", [n.to_s])
        db.execute("INSERT INTO items (name, note) VALUES ('written', ?)", ["x" * 2_000])
      end
      db.execute("PRAGMA wal_checkpoint(TRUNCATE)") if n % 10 == 0
      puts n
      $stdout.flush
    end
  RUBY

  def under_writes_of(program)
    reader, writer = IO.pipe
    pid = Process.spawn(Project.bundled_environment, *Project::RUBY, "-e", program, app.database_path, out: writer, unsetenv_others: true)
    writer.close
    progress = Thread.new { reader.each_line { |line| @written = line.to_i } }
    eventually(30) { @written.to_i > 5 }
    yield
  ensure
    Process.kill(:KILL, pid)
    Process.wait(pid)
    progress.join
    reader.close
  end

  it "under writes is a consistent state, and each pull is a later one" do
    states = []
    under_writes_of(writer) do
      8.times do |n|
        written = @written
        n.even? ? pull : backup.binwrite(pull("-").stdout)
        expect(TestDatabase.integrity(backup)).to eq "ok"
        titles = TestDatabase.read(backup) { |db| db.execute("SELECT DISTINCT title FROM posts WHERE id % 20 = 0").flatten }
        expect(titles.size).to eq 1
        states << titles.first.to_i
        expect(states.last).to be >= written
        expect(TestDatabase.read(backup) { |db| db.get_first_value("SELECT count(*) FROM items WHERE name = 'written'") }).to eq states.last
        eventually { @written > written }
      end
    end
    expect(states).to eq states.sort.uniq
  end

  # target.rs, `create`: the mode.
  it "creates a file that only its owner may read, and keeps the mode of an existing one" do
    pull
    expect(backup.stat.mode & 0o777).to eq 0o600

    backup.chmod(0o640)
    app.post("/items", token: "a later pull")
    pull
    expect(backup.stat.mode & 0o777).to eq 0o640
    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
  end

  it "through a link writes to the link's target, and keeps the link" do
    folder.join("monday.sqlite3").write("yesterday's")
    File.symlink("monday.sqlite3", backup)

    pull
    expect(backup.readlink.to_s).to eq "monday.sqlite3"
    expect(TestDatabase.content(folder.join("monday.sqlite3"))).to eq TestDatabase.content(app.database_path)
  end

  # target.rs, `put_in_place`: the sidecars.
  it "removes the WAL and the journal of an earlier database at the target" do
    stale = app.databases.with_wal_beside("stale")
    FileUtils.cp(stale, backup)
    FileUtils.cp("#{stale}-wal", "#{backup}-wal")
    File.write("#{backup}-journal", "of long ago")

    pull
    expect(folder.children).to eq [backup]
    expect(TestDatabase.version(backup)).to eq app.version
    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
    expect(TestDatabase.integrity(backup)).to eq "ok"
  end

  it "of a second database copies that one" do
    app.hotswap("cp", "queue", backup)

    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path("queue"))
  end

  it "can be pushed back" do
    pull
    app.post("/items", token: "since the backup")

    expect(app.hotswap("cp", backup, live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(TestDatabase.content(app.database_path)).to eq TestDatabase.content(backup)
  end
end
