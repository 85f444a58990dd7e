# frozen_string_literal: true

require "digest"

RSpec.describe "a push" do
  running_app do |app|
    # One database lies elsewhere, as with Capistrano's shared folder or a volume.
    app.root.join("volume").mkpath
    File.rename(app.database_path("errors"), app.root.join("volume/errors.sqlite3"))
    File.symlink("../volume/errors.sqlite3", app.database_path("errors"))
  end

  let(:live) { "storage/production.sqlite3" }
  let(:released) { {exit_code: 0, stdout: "OK\n", stderr: HotswapCommand::SWAPPED} }

  def digests(folder) = Pathname(folder).children.select(&:file?).to_h { |file| [file.basename.to_s, Digest::SHA256.file(file)] }

  def pragma(name) = TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA #{name}") }

  def expect_live(file, version)
    expect(app.version).to eq version
    expect(TestDatabase.content(app.database_path)).to eq TestDatabase.content(file)
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.stray_files).to eq []
  end

  it "from a file replaces the live rows, and leaves the file alone" do
    file = app.databases.release("from-file")
    before = digests(app.databases.folder)

    expect(app.hotswap("cp", file, live)).to have_attributes(released)
    expect_live(file, "from-file")
    expect(digests(app.databases.folder)).to eq before
  end

  it "from stdin does the same" do
    file = app.databases.release("from-stdin")

    expect(app.hotswap("cp", "-", live, stdin_data: File.binread(file))).to have_attributes(released)
    expect_live(file, "from-stdin")
  end

  it "goes through a chain of pipes" do
    file = app.databases.release("piped")
    chain = ["sh", "-c", 'gzip -c < "$0" | cat | gunzip -c | dd bs=777 2>/dev/null | "$@"', file, *HotswapCommand::PROGRAM]

    expect(app.hotswap("cp", "-", live, program: chain)).to have_attributes(released)
    expect_live(file, "piped")
  end

  it "accepts the output of a pull, as over ssh from one server to another" do
    app.hotswap("cp", app.databases.release("sent"), live)
    before = TestDatabase.content(app.database_path)
    chain = ["sh", "-c", '"$@" cp "$0" - --quiet | "$@" cp - "$0"', live, *HotswapCommand::PROGRAM]

    expect(app.hotswap(program: chain)).to have_attributes(released)
    expect(TestDatabase.content(app.database_path)).to eq before
    expect(app.version).to eq "sent"
  end

  # receive.rs, `merge_sidecars`.
  it "includes rows that are only in the file's WAL" do
    file = app.databases.with_wal_beside("in-the-wal")
    before = digests(app.databases.folder)
    expect(File.size("#{file}-wal")).to be > 0
    main_file_alone = app.root.join("alone.sqlite3").tap { |copy| FileUtils.cp(file, copy) }
    expect(TestDatabase.version(main_file_alone)).not_to eq "in-the-wal"

    expect(app.hotswap("cp", file, live)).to have_attributes(released)
    expect(digests(app.databases.folder)).to eq before
    expect_live(file, "in-the-wal")
  end

  it "of a file whose writer crashed has the state before the transaction" do
    file = crashed_in_a_transaction(app.databases.release("before-the-crash"))
    expect(File.size("#{file}-journal")).to be > 0

    expect(app.hotswap("cp", file, live)).to have_attributes(released)
    expect(app.version).to eq "before-the-crash"
    expect(TestDatabase.read(app.database_path) { |db| db.get_first_value("SELECT count(*) FROM posts WHERE title = 'half done'") }).to eq 0
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
  end

  # Copied while a transaction had written more than its cache held: the file is half new, its journal undoes it.
  def crashed_in_a_transaction(file)
    crashed = app.root.join("files/crashed.sqlite3").to_s
    SQLite3::Database.new(file) do |db|
      db.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN; UPDATE posts SET title = 'half done'")
      ["", "-journal"].each { |suffix| FileUtils.cp("#{file}#{suffix}", "#{crashed}#{suffix}") }
      db.execute("ROLLBACK")
    end
    crashed
  end

  # push/check_staged.rs: the journal mode in the header.
  {"a rollback journal" => :rollback_journal, "a write-ahead log" => :wal_mode}.each do |what, maker|
    it "of a file in #{what} keeps the live database in WAL mode" do
      file = app.databases.public_send(maker, "with #{what}")

      expect(app.hotswap("cp", file, live)).to have_attributes(released)
      expect(pragma("journal_mode")).to eq "wal"
      expect_live(file, "with #{what}")
    end
  end

  # staged.rs, `dress_like`.
  it "keeps the mode and the owner of the live file" do
    owner = Process.uid.zero? ? 65_534 : Process.uid
    File.chmod(0o640, app.database_path)
    File.chown(owner, nil, app.database_path)
    file = app.databases.release("dressed").tap { |path| File.chmod(0o604, path) }

    expect(app.hotswap("cp", file, live)).to have_attributes(released)
    expect(File.stat(app.database_path)).to have_attributes(mode: 0o100640, uid: owner)
    expect_live(file, "dressed")
  ensure
    File.chmod(0o644, app.database_path)
    File.chown(Process.uid, nil, app.database_path)
  end

  # A file for one of the other databases, with a row that the live one does not have.
  def changed(database, insert)
    copy = app.databases.folder.join("#{database}.sqlite3").to_s
    expect(app.hotswap("cp", database, copy)).to have_attributes(exit_code: 0)
    SQLite3::Database.new(copy) { |db| db.execute(insert) }
    copy
  end

  it "to a second database leaves the first alone" do
    queue = app.database_path("queue")
    file = changed("queue", "INSERT INTO solid_queue_semaphores (key, value, expires_at, created_at, updated_at) VALUES ('k', 1, 0, 0, 0)")
    inode = File.stat(queue).ino

    untouched { expect(app.hotswap("cp", file, "storage/production-queue.sqlite3")).to have_attributes(released) }

    expect(File.stat(queue).ino == inode).to be !Project.linux?
    expect(TestDatabase.content(queue)).to eq TestDatabase.content(file)
    expect(app.get("/").status).to eq 200
  end

  it "through a link replaces the link's target, and keeps the link" do
    link, real = app.database_path("errors"), app.root.join("volume/errors.sqlite3").to_s
    file = changed("errors", "INSERT INTO solid_errors_occurrences (error_id, created_at, updated_at) VALUES (0, 0, 0)")

    [link, real].each do |path|
      inode = File.stat(real).ino
      expect(app.hotswap("cp", file, path)).to have_attributes(released)

      expect(File.readlink(link)).to eq "../volume/errors.sqlite3"
      expect(File.stat(real).ino == inode).to be !Project.linux?
      expect(TestDatabase.content(real)).to eq TestDatabase.content(file)
    end
    expect(Untouched.listing(app.root.join("volume"))).to eq %w[errors.sqlite3]
    expect(app.stray_files).to eq []
  end

  it "with --skip-schema-check can add a column that the running application uses at once" do
    expect(app.get("/items/1").json).not_to have_key("price")
    file = app.databases.changed("priced.sqlite3", version: "priced") { |db| db.execute("ALTER TABLE items ADD COLUMN price REAL DEFAULT 9.5") }

    expect(app.hotswap("cp", file, live, "--skip-schema-check")).to have_attributes(released)
    expect(app.get("/items/1").json).to include("version" => "priced", "price" => 9.5)
    created = app.post("/items", token: "priced").json
    expect(app.get("/items/#{created.fetch("id")}").json).to include("token" => "priced", "price" => 9.5)
  ensure
    app.hotswap("cp", app.databases.release("restored"), live, "--skip-schema-check")
    expect(app.get("/items/1").json).not_to have_key("price")
  end

  it "with --skip-integrity-check accepts a file that SQLite would find damaged" do
    file = app.databases.corrupt_page
    untouched { expect(app.hotswap("cp", file, live)).to have_attributes(exit_code: 3) }

    expect(app.hotswap("cp", file, live, "--skip-integrity-check")).to have_attributes(released)
    expect(app.version).to eq "corrupt"
  ensure
    expect(app.hotswap("cp", app.databases.release("repaired"), live)).to have_attributes(released)
  end

  it "keeps every later write, and no earlier one" do
    app.post("/items", token: "before")
    app.hotswap("cp", app.databases.release("between"), live)
    app.post("/items", token: "after")

    tokens = TestDatabase.read(app.database_path) { |db| db.execute("SELECT token FROM items WHERE token IS NOT NULL").flatten }
    expect(tokens).to eq %w[after]
  end
end
