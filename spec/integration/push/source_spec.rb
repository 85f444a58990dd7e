# frozen_string_literal: true

require "open3"

# What is pushed is what SQLite reads at the path of the source, or the push is refused.
RSpec.describe "the source of a push", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:build) { app.root.join("build").tap(&:mkpath) }
  let(:file) { app.file("build/out.sqlite3", ItemsServer::SCHEMA, %w[in-the-file]) }

  after { FileUtils.rm_rf(build) }

  def push(source, **options) = app.hotswap("cp", source.to_s, "database", **options)

  def expect_pushed(source, served, **options)
    expect(push(source, **options)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq served
  end

  def expect_refused(source, message, **options)
    before = app.version
    expect(push(source, **options)).to have_attributes(exit_code: 3, stderr: /\AERROR: #{message}/)
    expect(app.version).to eq before
  end

  # Half of the rows are only in the WAL, as in a copy of a running application's files.
  def file_with_a_log
    original = app.file("build/original.sqlite3", ItemsServer::SCHEMA, %w[in-the-file], journal_mode: "wal")
    SQLite3::Database.new(original) do |db|
      db.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO items (name) VALUES ('in-the-log')")
      ["", "-wal"].each { |suffix| FileUtils.cp("#{original}#{suffix}", "#{file}#{suffix}") }
    end
    file
  end

  # Its writer was killed in a transaction that had written more than its cache holds.
  def file_with_a_hot_journal
    path = app.file("build/original.sqlite3", ItemsServer::SCHEMA, %w[before])
    SQLite3::Database.new(path) do |db|
      db.execute_batch("PRAGMA cache_size = 1; BEGIN; #{fill} UPDATE items SET name = 'during'")
      ["", "-journal"].each { |suffix| FileUtils.cp("#{path}#{suffix}", "#{file}#{suffix}") }
      db.execute("ROLLBACK")
    end
    expect(File.binread("#{file}-journal", 8)).to eq "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7".b
    file
  end

  def fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO items (name) SELECT hex(zeroblob(500)) FROM n;"

  # Ways to name the file, each with what the command gets as its standard input.
  ways = {
    "by its name" => ->(path) { [path, {}] },
    "by a link next to it" => ->(path) { ["link", {}].tap { File.symlink(path, app.root.join("link")) } },
    "by a link to a link in another folder" => lambda { |path|
      build.join("links").mkpath
      File.symlink("../#{File.basename(path)}", build.join("links/first"))
      File.symlink("build/links/first", app.root.join("link"))
      ["link", {}]
    },
    "by a linked folder" => lambda { |path|
      File.symlink("build", app.root.join("link"))
      ["link/#{File.basename(path)}", {}]
    },
    "as standard input" => ->(path) { ["-", {in: path}] },
    "as /dev/stdin" => ->(path) { ["/dev/stdin", {in: path}] }
  }

  ways.each do |way, named|
    it "that is named #{way} includes rows that are only in its WAL" do
      source, options = instance_exec(file_with_a_log, &named)
      expect_pushed(source, "in-the-file in-the-log", **options)
    ensure
      FileUtils.rm_f(app.root.join("link"))
    end

    it "that is named #{way} has the state before a transaction whose writer was killed" do
      source, options = instance_exec(file_with_a_hot_journal, &named)
      expect_pushed(source, "before", **options)
      expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    ensure
      FileUtils.rm_f(app.root.join("link"))
    end
  end

  it "that is named by a link ignores a WAL next to the link" do
    link = app.root.join("link")
    FileUtils.mv("#{file_with_a_log}-wal", "#{link}-wal")
    FileUtils.cp("#{link}-wal", "#{link}-journal")
    File.symlink(file, link)

    expect_pushed(link, "in-the-file")
  ensure
    FileUtils.rm_f([link, "#{link}-wal", "#{link}-journal"].map(&:to_s))
  end

  it "that is named by a second hard link uses the WAL of that name, as SQLite does" do
    File.link(file_with_a_log, build.join("second.sqlite3"))
    expect_pushed(build.join("second.sqlite3"), "in-the-file")
    expect_pushed(file, "in-the-file in-the-log")
  end

  it "that is standard input and was deleted is pushed as it is" do
    File.open(file) do |input|
      File.delete(file)
      expect_pushed("-", "in-the-file", in: input)
      expect_pushed("/dev/stdin", "in-the-file", in: input)
    end
  end

  %w[-wal -journal].each do |suffix|
    it "is refused if its #{suffix} is a link, which SQLite does not follow" do
      FileUtils.mv("#{file_with_a_log}-wal", build.join("elsewhere"))
      File.symlink("elsewhere", "#{file}#{suffix}")

      expect_refused(file, "#{file}#{suffix} is a symbolic link, and SQLite cannot open a database")
      expect_refused("-", "#{file}#{suffix} is a symbolic link, and SQLite cannot open a database", in: file)
    end

    it "is refused if its #{suffix} is a folder or a pipe" do
      Dir.mkdir("#{file}#{suffix}")
      expect_refused(file, "#{file}#{suffix} is not a regular file")
      Dir.rmdir("#{file}#{suffix}")
      File.mkfifo("#{file}#{suffix}")
      expect_refused(file, "#{file}#{suffix} is not a regular file", timeout: 10)
    end
  end

  # source.rs, `require_no_writer`. In WAL mode, the file has no uncommitted content.
  {"DELETE" => true, "TRUNCATE" => true, "PERSIST" => true, "MEMORY" => true, "OFF" => true, "WAL" => false}.each do |mode, refused|
    it "in an open transaction with journal_mode #{mode} #{refused ? "is refused, with the name of its writer" : "is pushed without it"}" do
      writer = Stranger.ruby(file)
      writer.ask("PRAGMA journal_mode = #{mode}")
      writer.ask("PRAGMA cache_size = 1")
      writer.ask("BEGIN")
      writer.ask(fill)
      writer.ask("UPDATE items SET name = 'during'")

      if refused
        [file, "-"].each { |source| expect_refused(source, ".* is being written: process #{writer.pid}.* has a transaction open", in: file) }
        writer.ask("ROLLBACK")
        expect(push(file)).to have_attributes(exit_code: 0) unless mode == "OFF"
      else
        expect_pushed(file, "in-the-file")
      end
    end
  end

  it "in a transaction that has not written yet is refused" do
    writer = Stranger.ruby(file)
    writer.ask("BEGIN IMMEDIATE")
    expect_refused(file, "#{file} is being written")
    writer.ask("COMMIT")
    expect_pushed(file, "in-the-file")
  end

  it "that another program only reads is pushed" do
    reader = Stranger.ruby(file)
    reader.ask("BEGIN")
    reader.ask("SELECT * FROM items")
    expect_pushed(file, "in-the-file")
  end

  it "that is locked exclusively is refused" do
    writer = Stranger.ruby(file)
    ["PRAGMA journal_mode = WAL", "PRAGMA locking_mode = EXCLUSIVE", "INSERT INTO items (name) VALUES ('new')"].each { |line| writer.ask(line) }
    expect_refused(file, "#{file} is being written")
  end

  # protocol/stamp.rs. Each row is a pair; a mix of two states has one without the other.
  it "that is written all the time is never pushed half, with or without a WAL" do
    %w[WAL DELETE TRUNCATE MEMORY].each do |mode|
      FileUtils.rm_rf(build)
      source = app.file("build/out.sqlite3", ItemsServer::SCHEMA, %w[first first])
      writer = writing_pairs(source, mode)
      outcomes = Array.new(10) do
        outcome = push(source)
        if outcome.exit_code.zero?
          names = app.version.split
          expect(names.size).to be_even
          expect(names.each_slice(2).all? { |left, right| left == right }).to be true
          expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        else
          expect(outcome).to have_attributes(exit_code: 3, stderr: /is being written|another program changed/)
        end
        outcome.exit_code
      end
      expect(outcomes - [0, 3]).to eq []
    ensure
      Process.kill(:KILL, writer)
      Process.wait(writer)
    end
  end

  def writing_pairs(path, mode)
    program = <<~RUBY
      require "sqlite3"
      loop do
        SQLite3::Database.new(ARGV[0]) do |db|
          db.execute("PRAGMA journal_mode = #{mode}")
          db.execute("PRAGMA synchronous = OFF")
          3.times do |n|
            db.transaction { 2.times { db.execute("INSERT INTO items (name) VALUES (?)", [n.to_s * 3]) } }
            db.execute("DELETE FROM items WHERE id <= (SELECT max(id) FROM items) - 20")
          end
        end
      end
    RUBY
    paths = Gem.loaded_specs.fetch("sqlite3").full_require_paths.flat_map { |folder| ["-I", folder] }
    Process.spawn(RbConfig.ruby, "--disable-gems", *paths, "-e", program, path)
  end

  # client/source.rs, `in_application`: closing a file drops the locks of an SQLite that has it open in the same
  # process.
  it "that the process of the command has open keeps its locks" do
    said, = Open3.capture2e(Project.bundled_environment, *Project::RUBY, "-e", <<~RUBY, file, chdir: app.root.to_s, unsetenv_others: true)
      require "hotswap"
      Hotswap.configure { |config| config.database_path = "storage/app.sqlite3" }
      db = SQLite3::Database.new(ARGV[0])
      db.execute("BEGIN IMMEDIATE")
      locks = -> { File.readlines("/proc/locks").grep(/\\bPOSIX\\b.* \#{Process.pid} .*:\#{File.stat(ARGV[0]).ino} /).size }
      before = locks.call
      2.times { puts Hotswap::CLI.run(["cp", ARGV[0], "database"]) }
      puts before.positive? && locks.call == before
      db.execute("COMMIT")
      puts Hotswap::CLI.run(["cp", ARGV[0], "database"])
    RUBY
    expect(said.lines(chomp: true).grep(/\A(\d|true|false)\z/)).to eq %w[3 3 true 0]
  end
end
