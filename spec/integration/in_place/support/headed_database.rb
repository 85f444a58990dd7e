# frozen_string_literal: true

require "fileutils"
require "sqlite3"

# Makes a database file whose header says what the spec wants: how its pages are read, and what is free in it.
#
#   HeadedDatabase.new(vacuum: :full, reserved: 8).make(path)
class HeadedDatabase
  VACUUM = {none: 0, full: 1, incremental: 2}.freeze

  # `docs` has neither a key nor an index, and some of its rows are gone: only its rowids tell `search` which row is which.
  SCHEMA = <<~SQL
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE docs (title, body);
    CREATE VIRTUAL TABLE search USING fts5(title, body, content='docs');
    CREATE TABLE pieces (name TEXT, bytes BLOB);
    CREATE INDEX pieces_by_name ON pieces (name);
    CREATE TABLE words (word TEXT PRIMARY KEY, number) WITHOUT ROWID;
    INSERT INTO items (name) VALUES ('made');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30)
      INSERT INTO docs SELECT 'title ' || i, 'word' || i FROM n;
    DELETE FROM docs WHERE rowid % 3 = 1;
    INSERT INTO search (search) VALUES ('rebuild');
    INSERT INTO words SELECT body, length(title) FROM docs;
  SQL

  def initialize(vacuum: :none, page_size: 1024, encoding: "UTF-8", reserved: 0, free: false, journal_mode: "delete")
    @vacuum = vacuum
    @page_size = page_size
    @encoding = encoding
    @reserved = reserved
    @free = free
    @journal_mode = journal_mode
  end

  # pieces: how much is in it, a page or two each.
  def make(path, pieces: 100)
    FileUtils.rm_f(path)
    begin_with_header(path)
    edit(path) do |db|
      db.execute_batch(SCHEMA)
      add(db, pieces)
    end
    finish(path)
  end

  # Another release of the file at `base`, which has the same header but for `vacuum` and `free`.
  def change(base, path, pieces: 0)
    FileUtils.cp(base, path)
    edit(path) do |db|
      db.execute("PRAGMA auto_vacuum = #{@vacuum}")
      db.execute("UPDATE items SET name = 'changed'")
      db.execute("UPDATE docs SET body = 'changed' WHERE rowid = 3")
      db.execute("INSERT INTO search (search) VALUES ('rebuild')")
      add(db, pieces)
    end
    finish(path)
  end

  # What the header says of the content. In a database with a log, after a checkpoint.
  def self.header(path)
    head = File.binread(path, 100)
    {reserved: head.getbyte(20)}.merge({largest_root: 52, encoding: 56, user_version: 60, incremental: 64, application_id: 68}
      .transform_values { |offset| head[offset, 4].unpack1("N") })
  end

  private

  # SQLite itself has no statement for the reserved bytes: they are set in a file of one empty page.
  def begin_with_header(path)
    edit(path) do |db|
      db.execute_batch("PRAGMA page_size = #{@page_size}; PRAGMA encoding = '#{@encoding}'; PRAGMA auto_vacuum = #{@vacuum}")
      db.execute_batch("PRAGMA application_id = #{rand(1 << 30)}; PRAGMA user_version = #{rand(1 << 30)}; VACUUM")
    end
    File.open(path, "r+b") do |file|
      file.pwrite([@reserved].pack("C"), 20)
      file.pwrite([@page_size - @reserved].pack("n"), 105)
    end
  end

  def finish(path)
    leave_free_pages(path) if @free
    edit(path) { |db| db.execute("PRAGMA journal_mode = #{@journal_mode}") }
    path
  end

  # With auto_vacuum full each commit gives them back; so the file only says so afterwards, and they wait for the next one.
  def leave_free_pages(path)
    edit(path) do |db|
      db.execute("PRAGMA auto_vacuum = incremental") if @vacuum == :full
      db.execute("DELETE FROM pieces WHERE rowid % 5 = 0")
      raise "no page is free in #{path}" if db.get_first_value("PRAGMA freelist_count").zero?
    end
    File.open(path, "r+b") { |file| file.pwrite("\0" * 4, 64) } if @vacuum == :full
  end

  def add(db, pieces)
    db.execute(<<~SQL, [pieces])
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)
      INSERT INTO pieces SELECT 'piece ' || i, randomblob(i * 37 % 2500) FROM n
    SQL
  end

  def edit(path)
    database = SQLite3::Database.new(path.to_s)
    database.execute_batch("PRAGMA synchronous = OFF")
    yield database
  ensure
    database&.close
  end
end
