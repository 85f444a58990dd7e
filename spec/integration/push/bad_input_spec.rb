# frozen_string_literal: true

require "socket"
require "zlib"

RSpec.describe "a push of a bad file", lane: "default" do
  include Privileges

  running_app

  let(:live) { "storage/production.sqlite3" }
  let(:files) { app.databases }

  def page_count(file) = File.size(file) / 4096

  # The file with some bytes overwritten.
  def patched(at, bytes, file = files.release("patched"))
    File.open(file, "r+b") { |io| io.pwrite(bytes.b, at) }
    file
  end

  def written(name, bytes) = files.folder.join(name).tap { |file| file.binwrite(bytes) }.to_s

  def expect_refused(file, message, *flags)
    from_file = untouched { app.hotswap("cp", file, live, *flags) }
    from_stdin = untouched { app.hotswap("cp", "-", live, *flags, in: file) }

    expect(from_file).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: #{message}/)
    expect(from_stdin).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: #{message}/)
    expect_to_be_helpful(from_file.stderr, file)
    expect_to_be_helpful(from_stdin.stderr, "standard input")
  end

  # The error names the file, the state of the database, and the next step.
  def expect_to_be_helpful(said, name)
    expect(said).to include(name).and match(/The running database is untouched\. (If a terminal|Load|Make sure|Push|Repair|Unpack)|could not use it/)
  end

  # header.rs, `judge`: these files are refused with every skip option.
  {
    "that is garbage" => [-> { files.garbage }, "file is not a database"],
    "that is text" => [-> { app.root.join("config.ru").to_s }, "file is not a database: .* begins with the text \"#"],
    "that is compressed" => [-> { written("new.sqlite3.gz", Zlib.gzip(File.binread(files.release("packed")))) }, "file is not a database: .* looks like gzip data.*Unpack"],
    "with text in front" => [-> { written("banner.sqlite3", "Connecting to app...\r\n#{File.binread(files.release("banner"))}") }, 'file is not a database: .* begins with the text "Connecting to app..."'],
    "with text at its end" => [-> { written("word.sqlite3", "#{File.binread(files.release("word"))}logout\n") }, "the file is longer than it says.*no -t"],
    "that is empty" => [-> { files.empty }, "the file is empty"],
    "that is shorter than a header" => [-> { written("99.sqlite3", File.binread(files.release("99"), 99)) }, "file is not a database"],
    "that is only a header" => [-> { written("100.sqlite3", File.binread(files.release("100"), 100)) }, "the file is truncated"],
    "with an impossible page size" => [-> { patched(16, "\x03\x00") }, "file is not a database: .* has an invalid page size \\(768\\)"],
    "that ends within a page" => [-> { files.cut_in_a_page }, "the file is truncated.*not a whole number of 4096-byte pages"],
    "that is longer than it says" => [-> { patched(File.size(files.release("patched")), "\0" * 4096) }, "the file is longer than it says"]
  }.each do |what, (file, message)|
    it "#{what} is refused, from a file or stdin, with every skip option" do
      path = instance_exec(&file)
      expect_refused(path, message)
      expect_refused(path, message, "--skip-integrity-check", "--skip-schema-check")
    end
  end

  it "that is truncated at any page is refused" do
    last = page_count(files.release("whole")) - 1

    [1, 2, last / 3, last / 2, last].each do |pages|
      expect_refused(files.truncated(pages: pages), "the file is truncated: the header of .* announces #{(last + 1) * 4096} bytes, but it has #{pages * 4096}")
    end
  end

  it "that is truncated is refused even if its header has no page count" do
    file = files.truncated
    patched(92, "\0\0\0\0", file) # as an SQLite before 3.7.0 leaves it

    expect_refused(file, "integrity check failed:\n.*\n.*invalid page number")
  end

  it "with a damaged page is refused with SQLite's finding" do
    file = files.corrupt_page
    found = TestDatabase.integrity(file).lines(chomp: true).first(3)

    expect_refused(file, "integrity check failed:\n#{Regexp.escape(found.join("\n"))}")
  end

  it "with a damaged schema is refused with every skip option" do
    file = patched(100, "\xff")
    expect_refused(file, "integrity check failed: database disk image is malformed")
    expect_refused(file, "the schema of .* cannot be read: database disk image is malformed", "--skip-integrity-check", "--skip-schema-check")
  end

  it "from stdin is refused as soon as its first bytes arrive" do
    {"\0" * 1_000_000 => "file is not a database", "#{File.binread(files.release("endless"))}#{"\0" * 1_000_000}" => "the file is longer than it says"}.each do |bytes, message|
      refused = untouched(within: 5) do
        push = FedCommand.start(app, "cp", "-", live)
        eventually { !push.write(bytes) || !push.running? }
        push.wait(10)
      end

      expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: #{message}/)
    end
  end

  it "with an index that does not match its table is refused with SQLite's finding" do
    file = files.changed("index.sqlite3") do |db|
      index = "FROM sqlite_schema WHERE name = 'index_items_on_token'"
      row = db.get_first_row("SELECT * #{index}")
      db.execute_batch("PRAGMA writable_schema = ON; DELETE #{index}; PRAGMA writable_schema = RESET")
      db.execute("INSERT INTO items (id, name, token) VALUES (4711, 'not', 'in the index')")
      db.execute("PRAGMA writable_schema = ON")
      db.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
    end

    expect(TestDatabase.integrity(file)).to include("missing from index index_items_on_token")
    expect_refused(file, "integrity check failed:\n#{Regexp.escape(TestDatabase.integrity(file))}\n#{Regexp.union(file, "standard input")} is damaged")
  end

  it "with a row that violates a NOT NULL or UNIQUE constraint is refused with SQLite's finding" do
    file = files.changed("null.sqlite3") do |db|
      table = db.get_first_value("SELECT sql FROM sqlite_schema WHERE name = 'items'")
      lenient = table.sub('"name" varchar NOT NULL', '"name" varchar')
      change = ->(sql) { db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '#{sql}' WHERE name = 'items'; PRAGMA writable_schema = RESET") }
      change.call(lenient)
      db.execute("INSERT INTO items (name) VALUES (NULL)")
      change.call(table)
    end

    expect_refused(file, "integrity check failed:\nNULL value in items.name")
  end

  # check/integrity.rs: SQLite does not report these rows to a read-only connection.
  it "with a row that violates a CHECK constraint is refused with SQLite's finding" do
    file = files.changed("check.sqlite3") do |db|
      table = db.get_first_value("SELECT sql FROM sqlite_schema WHERE name = 'items'")
      db.execute("INSERT INTO items (name) VALUES ('forbidden')")
      strict = table.sub('"name" varchar', %q("name" varchar CHECK (name <> ''forbidden'')))
      db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '#{strict}' WHERE name = 'items'")
    end

    expect(TestDatabase.integrity(file)).to eq "CHECK constraint failed in items"
    expect_refused(file, "integrity check failed:\nCHECK constraint failed in items")
  end

  {
    "a folder" => [->(path) { path.mkpath }, 2, "is a folder"],
    "a FIFO" => [->(path) { File.mkfifo(path) }, 2, "is a pipe\\. .*standard input"],
    "a socket" => [->(path) { UNIXServer.new(path.to_s).close }, 2, "is a socket"],
    "a dangling link" => [->(path) { File.symlink("nowhere", path) }, 3, "cannot read .*No such file"],
    "a link to itself" => [->(path) { File.symlink(path.basename, path) }, 3, "cannot read .*symbolic links"],
    "a missing file" => [->(_) {}, 3, "cannot read .*No such file"]
  }.each do |what, (make, status, message)|
    it "that is #{what} is refused with that name" do
      path = files.folder.join("bad")
      make.call(path)

      refused = untouched { app.hotswap("cp", "files/bad", live, timeout: 10) }

      expect(refused).to have_attributes(exit_code: status, stdout: "", stderr: /\AERROR: .*#{message}/)
      expect(refused.stderr).to include("files/bad")
      expect(refused.stderr.scan("ERROR").size).to eq 1
      # The log says the client's own reason, and not only that it has gone.
      eventually { expect(app.log).to match(/command failed: the client gave up: .*#{message}/) }
    ensure
      FileUtils.rm_rf(path)
    end
  end

  it "that is a device is refused" do
    refused = untouched { app.hotswap("cp", "/dev/zero", live) }

    expect(refused).to have_attributes(exit_code: 2, stdout: "", stderr: %r{\AERROR: /dev/zero is not a regular file.*\n\z})
  end

  # receive.rs, `require_room`.
  it "that is an empty 8 TB file is refused at once and takes no space" do
    sparse = patched(28, [2**43 / 4096].pack("N"))
    File.truncate(sparse, 2**43)
    [[sparse, {}], ["-", {in: sparse}]].each do |source, options|
      refused = untouched { app.hotswap("cp", source, live, "--skip-integrity-check", timeout: 10, **options) }

      expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: .*needs 8796094 MB plus a reserve of 16 MB, but only \d+ MB are free/)
    end
  rescue Errno::EFBIG
    skip "no file can be that long here"
  ensure
    FileUtils.rm_f(sparse)
  end

  it "that the user may not read is refused" do
    file = files.release("secret").tap { |path| File.chmod(0o000, path) }

    refused = untouched { app.hotswap("cp", file, live, program: unprivileged + HotswapCommand::PROGRAM) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: cannot read #{file}: Permission denied/)
  end

  it "from a stdin that is closed, a directory or write-only is refused" do
    [[:close, 3], [app.root.to_s, 2], [[app.root.join("log/written").to_s, "w"], 5]].each do |stdin, status|
      refused = untouched { app.hotswap("cp", "-", live, in: stdin) }

      expect(refused).to have_attributes(exit_code: status, stdout: "", stderr: /\AERROR: .*(empty|cannot read|is a folder)/)
    end
  end

  it "does not affect the next push" do
    expect(app.hotswap("cp", files.release("good"), live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "good"
  end
end
