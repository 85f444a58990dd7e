# frozen_string_literal: true

require "sqlite3"

# A database with a value that must not leave the server in every place where SQLite keeps values.
module Secrets
  # The SQLite of the sqlite3 gem has neither FTS4 nor R-trees.
  MODULES = SQLite3::Database.new(":memory:").then do |db|
    db.execute("SELECT name FROM pragma_module_list").flatten
  ensure
    db.close
  end
  FTS4 = (MODULES.include?("fts4") ? "fts4" : "fts5")
  PLACES = (MODULES.include?("rtree") ? "VIRTUAL TABLE places USING rtree(id," : "TABLE places (id INTEGER PRIMARY KEY,")

  SCHEMA = <<~SQL
    CREATE TABLE schema_migrations (version TEXT PRIMARY KEY);
    CREATE TABLE ar_internal_metadata (key TEXT PRIMARY KEY, value TEXT);
    CREATE TABLE users (
      id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, name TEXT, bio TEXT, age INTEGER CHECK (age < 200),
      domain TEXT AS (substr(email, instr(email, '@') + 1)), initial TEXT AS (substr(name, 1, 1)) STORED
    );
    CREATE INDEX users_by_name ON users (name) WHERE age > 17;
    CREATE INDEX users_by_email ON users (lower(email) DESC);
    CREATE TABLE sessions (token TEXT PRIMARY KEY, user_id INTEGER REFERENCES users (id)) WITHOUT ROWID;
    CREATE TABLE profiles (user_id INT NOT NULL, data BLOB, PRIMARY KEY (user_id)) STRICT;
    CREATE TABLE logs (line TEXT, length INTEGER AS (length(line)));
    CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT COLLATE NOCASE, body TEXT);
    CREATE INDEX articles_by_title ON articles (title);
    CREATE VIRTUAL TABLE articles_fts USING fts5(title, body, content='articles', content_rowid='id');
    CREATE VIRTUAL TABLE users_fts USING fts5(name, bio, content='users', content_rowid='id');
    CREATE VIRTUAL TABLE notes USING fts5(text);
    CREATE VIRTUAL TABLE old_notes USING #{FTS4}(text);
    CREATE #{PLACES} left, right, top, bottom);
    CREATE VIEW adults AS SELECT name FROM users WHERE age > 17;
    CREATE TRIGGER users_are_indexed AFTER INSERT ON users BEGIN
      INSERT INTO users_fts (rowid, name, bio) VALUES (new.id, new.name, new.bio);
    END;
    CREATE TRIGGER articles_are_indexed AFTER INSERT ON articles BEGIN
      INSERT INTO articles_fts (rowid, title, body) VALUES (new.id, new.title, new.body);
    END;
  SQL

  # What is in users, sessions and profiles, now or before.
  VALUES = %w[secretmail secretname secretbio secrettoken secretdata secretbefore secretgone secretpage].freeze

  class << self
    def fill(path, encoding: "UTF-8", page_size: 4096, journal_mode: "wal", users: 300)
      self.open(path) do |db|
        db.execute_batch("PRAGMA encoding = '#{encoding}'; PRAGMA page_size = #{page_size}; PRAGMA secure_delete = OFF")
        db.execute("PRAGMA journal_mode = #{journal_mode}")
        db.execute_batch(SCHEMA)
        db.transaction { rows(db, users) }
        db.transaction { leave_traces(db) }
        db.execute("ANALYZE")
        db.execute_batch("PRAGMA user_version = 7; PRAGMA application_id = 99")
      end
    end

    def open(path, &) = SQLite3::Database.new(path.to_s, &)

    # The values that are somewhere in the file, in one of SQLite's encodings.
    def in_file(path)
      bytes = File.binread(path)
      VALUES.select { |value| %w[UTF-8 UTF-16LE UTF-16BE].any? { |encoding| bytes.include?(value.encode(encoding).b) } }
    end

    private

    def rows(db, users)
      db.execute("INSERT INTO schema_migrations VALUES ('20260101000000')")
      db.execute("INSERT INTO ar_internal_metadata VALUES ('environment', 'production')")
      numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
      db.execute("#{numbers} INSERT INTO users (email, name, bio, age) SELECT 'secretmail' || i || '@example.com', 'secretname' || i, replace(hex(zeroblob(400)), '0', 'secretbio ') , i % 90 FROM n", [users])
      db.execute("#{numbers} INSERT INTO sessions SELECT 'secrettoken' || i, i FROM n", [users])
      db.execute("#{numbers} INSERT INTO profiles SELECT i, CAST('secretdata' || hex(zeroblob(5000)) AS BLOB) FROM n", [users])
      db.execute("#{numbers} INSERT INTO articles (title, body) SELECT 'Title ' || i, 'open words number' || i FROM n", [users])
      db.execute("#{numbers} INSERT INTO logs (rowid, line) SELECT i * 10, 'line ' || i FROM n", [users])
      db.execute("#{numbers} INSERT INTO notes (text) SELECT 'a public note ' || i FROM n", [users])
      db.execute("INSERT INTO old_notes (text) VALUES ('an older note')")
      db.execute("#{numbers} INSERT INTO places SELECT i, i, i + 1, i, i + 1 FROM n", [users])
    end

    # Values that no row has any more.
    def leave_traces(db)
      db.execute("UPDATE users SET name = 'secretbefore' WHERE id < 20")
      db.execute("UPDATE users SET name = 'secretname' || id WHERE id < 20")
      db.execute("INSERT INTO logs SELECT 'secretgone' || hex(zeroblob(9000)) FROM logs LIMIT 30")
      db.execute("DELETE FROM logs WHERE line LIKE 'secretgone%'")
      db.execute("CREATE TABLE dropped (a)")
      db.execute("INSERT INTO dropped SELECT replace(hex(zeroblob(3000)), '0', 'secretpage') FROM logs LIMIT 20")
      db.execute("DROP TABLE dropped")
    end
  end
end
