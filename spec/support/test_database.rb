# frozen_string_literal: true

require "digest"
require "fileutils"
require "sqlite3"
require_relative "demo_app"

# Files to push, good and bad, made by the sqlite3 gem from the demo's seeded database: same schema, another
# release. Each method answers the path of the file it made.
class TestDatabase
  attr_reader :folder

  def initialize(folder)
    @folder = Pathname(folder)
  end

  # The live schema with other data: what a good push looks like.
  def release(version, name: "#{version}.sqlite3")
    from_seeds(name) { |db| name_release(db, version) }
  end

  # About this many megabytes; made once and kept, for the big ones take seconds.
  def of_size(megabytes, version: "big", name: "#{version}-#{megabytes}mb.sqlite3")
    kept = Project::CACHE.join("big-#{megabytes}mb-#{DemoApp.fingerprint}.sqlite3")
    fill(kept, megabytes) unless kept.exist?
    FileUtils.cp(kept, path(name))
    edit(path(name)) { |db| name_release(db, version) }
    path(name)
  end

  # Changes it with the block, for a case of a single spec.
  def changed(name, version: "changed", &block)
    from_seeds(name) do |db|
      name_release(db, version)
      block.call(db)
    end
  end

  def other_schema(name: "other-schema.sqlite3") = changed(name) { |db| db.execute("ALTER TABLE items ADD COLUMN price REAL") }

  def another_application(name: "another-application.sqlite3")
    edit(path(name)) { |db| db.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)") }
    path(name)
  end

  def extra_index(version, name: "extra-index.sqlite3")
    changed(name, version: version) { |db| db.execute("CREATE INDEX items_by_name ON items (name)") }
  end

  # sqlite_stat1 appears: a table more, and still the same schema.
  def analyzed(version, name: "analyzed.sqlite3") = changed(name, version: version) { |db| db.execute("ANALYZE") }

  def rollback_journal(version, name: "rollback.sqlite3")
    changed(name, version: version) { |db| db.execute("PRAGMA journal_mode = DELETE") }
  end

  def wal_mode(version, name: "wal.sqlite3")
    changed(name, version: version) { |db| db.execute("PRAGMA journal_mode = WAL") }
  end

  # The newest release is only in the -wal next to the file, as in a copy taken from a running application.
  def with_wal_beside(version, name: "with-wal.sqlite3")
    original = from_seeds("#{name}.open") { |db| db.execute("PRAGMA journal_mode = WAL") }
    edit(original) do |db|
      db.execute("PRAGMA wal_autocheckpoint = 0")
      name_release(db, version)
      ["", "-wal"].each { |suffix| FileUtils.cp("#{original}#{suffix}", "#{path(name)}#{suffix}") }
    end
    FileUtils.rm_f(["", "-wal", "-shm"].map { |suffix| "#{original}#{suffix}" })
    path(name)
  end

  # The first page of a table is noise: the file opens, and integrity_check finds it.
  def corrupt_page(name: "corrupt.sqlite3", table: "posts")
    file = release("corrupt", name: name)
    number, size = edit(file) do |db|
      [db.get_first_value("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]), page_size(db)]
    end
    File.open(file, "r+b") { |io| io.pwrite(Random.new(1).bytes(size), (number - 1) * size) }
    file
  end

  # Only the first pages of a good file.
  def truncated(pages: nil, name: "truncated.sqlite3")
    file = release("truncated", name: name)
    size, count = edit(file) { |db| [page_size(db), db.get_first_value("PRAGMA page_count")] }
    File.truncate(file, (pages || count / 2) * size)
    file
  end

  def cut_in_a_page(name: "cut.sqlite3")
    release("cut", name: name).tap { |file| File.truncate(file, File.size(file) - 100) }
  end

  def garbage(bytes: 100_000, name: "garbage.sqlite3")
    path(name).tap { |file| File.binwrite(file, Random.new(1).bytes(bytes)) }
  end

  def empty(name: "empty.sqlite3") = path(name).tap { |file| File.binwrite(file, "") }

  class << self
    # For checks of a pulled database and of the live one.

    def version(file) = read(file) { |db| db.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }

    def integrity(file) = read(file) { |db| db.execute("PRAGMA integrity_check").flatten.join("\n") }

    # Equal for equal schemas and rows, whatever the pages look like.
    def content(file)
      read(file) do |db|
        digest = Digest::SHA256.new
        schema = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
        digest << schema.inspect
        schema.each { |type, name| digest << rows(db, name) if type == "table" }
        digest.hexdigest
      end
    end

    # Opened for writing though it only reads: a read-only connection leaves an empty -wal and a -shm behind.
    def read(file, &block)
      database = SQLite3::Database.new(file.to_s, readwrite: true)
      database.busy_timeout = 5_000
      database.execute("PRAGMA query_only = 1")
      block.call(database)
    ensure
      database&.close
    end

    private

    # As one text, made by SQLite: ten thousand rows as objects take four times as long.
    def rows(db, table)
      columns = db.execute("SELECT name, pk FROM pragma_table_info(?)", [table])
      without_rowid = db.get_first_value("SELECT wr FROM pragma_table_list(?)", [table]) == 1
      key = without_rowid ? columns.filter_map { |name, pk| quote(name) if pk.positive? } : ["rowid"]
      row = [*key, *columns.map { |name, _| "quote(#{quote(name)})" }].join(" || ',' || ")
      db.get_first_value("SELECT group_concat(row, char(10)) FROM (SELECT #{row} AS row FROM #{quote(table)} ORDER BY #{key.join(", ")})").to_s
    end

    def quote(name) = %("#{name.gsub('"', '""')}")
  end

  private

  def path(name) = folder.join(name).to_s

  def from_seeds(name, &block)
    FileUtils.cp(DemoApp.seeded_database, path(name))
    edit(path(name), &block)
    path(name)
  end

  def edit(file)
    database = SQLite3::Database.new(file.to_s)
    yield database
  ensure
    database&.close
  end

  def name_release(db, version) = db.execute("INSERT INTO releases (version) VALUES (?)", [version])

  def page_size(db) = db.get_first_value("PRAGMA page_size")

  # Text that does not compress, in a table that the application reads rarely.
  def fill(file, megabytes)
    file.dirname.mkpath
    half_made = "#{file}.new-#{Process.pid}"
    FileUtils.cp(DemoApp.seeded_database, half_made)
    edit(half_made) do |db|
      db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
      db.execute_batch("DELETE FROM comments; DELETE FROM posts; VACUUM") if megabytes * 1_000_000 < File.size(half_made)
      missing = megabytes * 1_000_000 - File.size(half_made)
      db.execute(<<~SQL, [[missing / 8_000, 0].max])
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
        INSERT INTO items (name, note) SELECT 'filler', hex(randomblob(3950)) FROM n
      SQL
      db.execute("PRAGMA journal_mode = DELETE")
    end
    File.rename(half_made, file)
  end
end
