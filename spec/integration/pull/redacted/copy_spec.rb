# frozen_string_literal: true

require_relative "../../../unit/unit_helper"
require "support/secrets"

RSpec.describe "a copy of some tables, or a redacted one" do
  include_context "with hotswap in this process"

  let(:live) { folder.join("live.sqlite3") }
  let(:copy) { folder.join("copy.sqlite3") }
  let(:config) { Hotswap.configuration }

  def manage(**options)
    Secrets.fill(live, **options)
    Hotswap.register(live, name: "primary")
  end

  def redact
    config.redact "users", email: "'user' || id || '@example.com'", name: "'User ' || id", bio: nil
    config.redact :sessions, :rows
    config.redact "prof*", "data" => "x'00' -- nothing"
  end

  def pull(**options) = Hotswap.pull(:primary, to: copy, **options)

  def read(path = copy, &) = TestDatabase.read(path, &)

  def rows(table, path = copy) = read(path) { |db| db.execute("SELECT * FROM #{table} ORDER BY 1") }

  def count(table) = read { |db| db.get_first_value("SELECT count(*) FROM #{table}") }

  def expect_sound
    expect(TestDatabase.integrity(copy)).to eq "ok"
    Secrets.open(copy) do |db|
      %w[articles_fts users_fts notes].each { |table| db.execute("INSERT INTO #{table} (#{table}, rank) VALUES ('integrity-check', 1)") }
      db.execute("INSERT INTO old_notes (old_notes) VALUES ('integrity-check')")
      expect(db.get_first_value("SELECT rtreecheck('places')")).to eq "ok" if Secrets::MODULES.include?("rtree")
    end
    expect(folder.children.map { |path| path.basename.to_s }.grep(/staged/)).to eq []
  end

  [{}, {encoding: "UTF-16le", page_size: 1024, journal_mode: "delete"}, {encoding: "UTF-16be", page_size: 65_536}].each do |options|
    it "has no removed value in any byte, and everything else as it is (#{options})" do
      manage(**options)
      redact
      expect(Secrets.in_file(live)).to eq Secrets::VALUES if options.empty?

      expect(pull(redacted: true)).to have_attributes(bytes: File.size(copy), identity: /\A\h{32}\z/)

      expect(Secrets.in_file(copy)).to eq []
      expect_sound
      expect(rows("users").first).to eq [1, "user1@example.com", "User 1", nil, 1, "example.com", "U"]
      expect([count("users"), count("sessions"), rows("profiles").last]).to eq [300, 0, [300, "\0".b]]
      %w[articles logs notes old_notes places schema_migrations sqlite_sequence].each { |table| expect(rows(table)).to eq rows(table, live) }
      read do |db|
        expect(db.execute("SELECT rowid FROM logs ORDER BY rowid LIMIT 2")).to eq [[10], [20]]
        expect(db.execute("SELECT rowid FROM articles_fts('number7')")).to eq [[7]]
        expect(db.execute("SELECT count(*) FROM users_fts('secretbio')")).to eq [[0]]
        expect(db.get_first_value("SELECT name FROM adults ORDER BY length(name), name")).to eq "User 18"
      end
    end
  end

  # The worker hashes most pages while it writes the copy (snapshot/hashes.rs), before the copy gets its indexes and
  # full-text tables.
  it "has the identity of its content" do
    manage
    redact
    Secrets.open(live) do |db|
      numbers = "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
      db.execute("#{numbers} INSERT INTO notes (text) SELECT 'note ' || i || hex(randomblob(200)) FROM n")
      db.execute("CREATE TABLE large AS #{numbers} SELECT i, randomblob(2000) FROM n")
    end
    identity = pull(redacted: true).identity
    expect(File.size(copy)).to be > 6_000_000

    Hotswap.register(copy, name: "copy")
    expect(Hotswap.pull("copy", to: folder.join("plain.sqlite3")).identity).to eq identity
  end

  it "has the schema, the encoding and the header of the database" do
    manage(encoding: "UTF-16le", page_size: 8192)
    pull(except: "*")

    statements = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2"
    schema = read { |db| db.execute(statements) }
    expect(schema).to eq(read(live) { |db| db.execute(statements) })
    header = ->(path) { read(path) { |db| %w[encoding page_size auto_vacuum user_version application_id journal_mode].map { |pragma| db.get_first_value("PRAGMA #{pragma}") } } }
    expect(header[copy]).to eq header[live]
    expect(Secrets.in_file(copy)).to eq []
  end

  it "has the rows of the selected tables, and of those that say what schema it is" do
    manage
    config.tables = {content: %w[articles log*]}
    pull(only: ["@content", "NOTES"])

    expect_sound
    %w[articles logs notes schema_migrations ar_internal_metadata].each { |table| expect(rows(table)).to eq rows(table, live) }
    %w[users sessions profiles old_notes places].each { |table| expect(count(table)).to eq 0 }
    read do |db|
      expect(db.execute("SELECT rowid FROM articles_fts('number7')")).to eq [[7]]
      expect(db.execute("SELECT * FROM sqlite_sequence")).to eq []
      expect(db.execute("SELECT DISTINCT tbl FROM sqlite_stat1").flatten).not_to include("users", "sessions", "profiles")
    end
    expect(Secrets.in_file(copy)).to eq []
  end

  it "has triggers that fire, and rows that can be added" do
    manage
    redact
    pull(except: "articles", redacted: true)

    Secrets.open(copy) do |db|
      db.execute("INSERT INTO users (email, name) VALUES ('new@example.com', 'newcomer')")
      db.execute("INSERT INTO articles (title, body) VALUES ('first', 'fresh')")
      expect(db.execute("SELECT rowid FROM users_fts('newcomer')")).to eq [[301]]
      expect(db.execute("SELECT rowid FROM articles_fts('fresh')")).to eq [[1]]
    end
    expect_sound
  end

  it "goes to a stream, and through a rollback journal" do
    manage(journal_mode: "delete")
    redact
    Hotswap.pull(:primary, to: (stream = StringIO.new), redacted: true)
    copy.binwrite(stream.string)

    expect_sound
    expect(Secrets.in_file(copy)).to eq []
  end

  it "runs the application's own statements, and keeps nothing of what they remove" do
    manage
    folder.join("redact.sql").write(<<~SQL)
      UPDATE users SET email = id || '@x', name = 'N', bio = NULL;
      DELETE FROM sessions; DELETE FROM profiles;
      INSERT INTO users_fts (users_fts) VALUES ('rebuild');
      INSERT INTO articles (title, body) VALUES ('by script', 'firesatrigger');
    SQL
    config.redact_with "redact.sql"
    pull(redacted: true)

    expect(Secrets.in_file(copy)).to eq []
    expect_sound
    read { |db| expect(db.execute("SELECT rowid FROM articles_fts('firesatrigger')")).to eq [[301]] }
    expect(read { |db| db.execute("SELECT rowid FROM logs ORDER BY rowid LIMIT 2") }).to eq [[10], [20]]
  end

  it "is one of a previous version, too" do
    manage
    redact
    newer = folder.join("newer.sqlite3")
    Secrets.fill(newer, users: 5)
    Hotswap.push(newer)
    expect(Hotswap::CLI.run(["cp", "previous:primary", copy.to_s, "--redacted"], stdout: StringIO.new, stderr: (stderr = StringIO.new))).to eq(0), stderr.string

    expect(count("users")).to eq 300
    expect(Secrets.in_file(copy)).to eq []
  end

  # A database with full-text tables, and nothing of Secrets.
  def manage_indexes(statements)
    Secrets.open(live) { |db| db.execute_batch(statements) }
    Hotswap.register(live, name: "primary")
  end

  it "has no word of rows that are gone from a full-text table which comes along" do
    manage_indexes(<<~SQL)
      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
      CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT);
      CREATE VIRTUAL TABLE notes USING fts5(text);
      CREATE VIRTUAL TABLE old_notes USING #{Secrets::FTS4}(text);
      CREATE VIRTUAL TABLE articles_fts USING fts5(title, content='articles', content_rowid='id');
      CREATE VIRTUAL TABLE words USING fts5(word, content='');
      CREATE TRIGGER articles_have_words AFTER INSERT ON articles BEGIN INSERT INTO words (rowid, word) VALUES (new.id, new.title); END;
      INSERT INTO users (name) VALUES ('someone');
      INSERT INTO articles (title) VALUES ('public');
      INSERT INTO articles_fts (articles_fts) VALUES ('rebuild');
      INSERT INTO notes (rowid, text) VALUES (1, 'public'), (2, 'secretgone');
      DELETE FROM notes WHERE rowid = 2;
      INSERT INTO old_notes (rowid, text) VALUES (1, 'public'), (2, 'secretpage');
      DELETE FROM old_notes WHERE rowid = 2;
      INSERT INTO articles_fts (rowid, title) VALUES (2, 'secretbefore');
      INSERT INTO articles_fts (articles_fts, rowid, title) VALUES ('delete', 2, 'secretbefore');
      INSERT INTO words (rowid, word) VALUES (2, 'secretdata');
      INSERT INTO words (words, rowid, word) VALUES ('delete', 2, 'secretdata');
    SQL
    expect(Secrets.in_file(live).size).to eq 4
    config.redact "users", name: "'x'"
    pull(redacted: true)

    expect(Secrets.in_file(copy)).to eq []
    expect(TestDatabase.integrity(copy)).to eq "ok"
    read { |db| %w[notes old_notes articles_fts words].each { |table| expect(db.execute("SELECT rowid FROM #{table} WHERE #{table} MATCH 'public'")).to eq [[1]] } }
    expect(folder.children.map { |path| path.basename.to_s }.grep(/staged/)).to eq []
  end

  it "has no word that the application's own statements replace, whether or not a trigger tells the index" do
    manage_indexes(<<~SQL)
      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, bio TEXT);
      CREATE VIRTUAL TABLE names USING fts5(name, content='users', content_rowid='id');
      CREATE VIRTUAL TABLE bios USING #{Secrets::FTS4}(content='users', bio);
      CREATE VIRTUAL TABLE notes USING fts5(text);
      CREATE TRIGGER users_are_indexed AFTER UPDATE ON users BEGIN
        INSERT INTO names (names, rowid, name) VALUES ('delete', old.id, old.name);
        INSERT INTO names (rowid, name) VALUES (new.id, new.name);
      END;
      INSERT INTO users VALUES (1, 'secretname', 'secretbio'), (2, 'secretmail', 'secretdata');
      INSERT INTO names (names) VALUES ('rebuild');
      INSERT INTO bios (bios) VALUES ('rebuild');
      INSERT INTO notes VALUES ('secretgone');
    SQL
    folder.join("redact.sql").write("UPDATE users SET name = 'someone', bio = 'something'; UPDATE notes SET text = 'note'; PRAGMA query_only = ON")
    config.redact_with "redact.sql"
    pull(redacted: true)

    expect(Secrets.in_file(copy)).to eq []
    read { |db| expect([db.execute("SELECT rowid FROM names('someone')"), db.execute("SELECT rowid FROM bios WHERE bios MATCH 'something'")]).to eq [[[1], [2]], [[1], [2]]] }
  end

  it "has the rows of a table that only looks like a part of a full-text table" do
    manage_indexes(<<~SQL)
      CREATE TABLE pages_content (id INTEGER PRIMARY KEY, text TEXT);
      CREATE VIRTUAL TABLE pages USING fts5(text, content='pages_content', content_rowid='id');
      INSERT INTO pages_content VALUES (1, 'secretname');
      INSERT INTO pages (pages) VALUES ('rebuild');
    SQL
    config.redact "pages_content", text: "'someone'"
    pull(redacted: true)

    expect(Secrets.in_file(copy)).to eq []
    expect([rows("pages_content"), read { |db| db.execute("SELECT rowid FROM pages('someone')") }]).to eq [[[1, "someone"]], [[1]]]
  end

  {
    "damaged" => ["articles_fts", "UPDATE articles_fts_data SET block = x'00ff' WHERE id > 100", "INSERT INTO \"articles_fts\" (\"articles_fts\") VALUES ('rebuild')"],
    "incomplete" => ["words", "DROP TABLE words_data", "INSERT INTO \"words\" (\"words\") VALUES ('delete-all'), and add its rows again"]
  }.each do |what, (name, damage, repair)|
    it "is refused for a full-text table that is #{what}, with its name and the way out" do
      manage_indexes(<<~SQL)
        CREATE TABLE users (name TEXT);
        CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT);
        CREATE VIRTUAL TABLE articles_fts USING fts5(title, content='articles', content_rowid='id');
        CREATE VIRTUAL TABLE words USING fts5(word, content='');
        CREATE TRIGGER articles_have_words AFTER INSERT ON articles BEGIN INSERT INTO words (rowid, word) VALUES (new.id, new.title); END;
        INSERT INTO articles_fts VALUES ('one');
        INSERT INTO articles_fts VALUES ('two');
        PRAGMA writable_schema = ON;
        #{damage}
      SQL

      expect { pull(except: "users") }.to raise_error(Hotswap::Refused, /the full-text table #{name} does not work: .*#{Regexp.escape(repair)}.* and pull again/)
    end
  end

  {"quotes" => %("fts5"), "capitals" => "FTS5"}.each do |what, fts5|
    it "follows full-text tables whose statement has #{what}, or short names of options" do
      manage_indexes(<<~SQL)
        CREATE TABLE "Users's" (id INTEGER PRIMARY KEY, name TEXT);
        CREATE VIRTUAL TABLE names USING #{fts5}(name, Conten="users's", content_r=id);
        INSERT INTO "Users's" VALUES (1, 'secretname');
        INSERT INTO names (names) VALUES ('rebuild');
      SQL
      config.redact "users's", name: "'someone'"
      pull(redacted: true)

      expect(Secrets.in_file(copy)).to eq []
      expect(read { |db| db.execute("SELECT rowid FROM names('someone')") }).to eq [[1]]
    end
  end

  it "is refused if a unique index does not accept the values" do
    manage_indexes("CREATE TABLE users (name TEXT); CREATE UNIQUE INDEX by_name ON users (name); INSERT INTO users VALUES ('a'), ('b')")
    config.redact "users", name: "'x'"

    expect { pull(redacted: true) }.to raise_error(Hotswap::Refused, /the table users does not accept the values .*UNIQUE constraint failed/)
  end

  it "is refused if two values would become one, also in a column that settles conflicts by itself" do
    manage_indexes("CREATE TABLE users (name TEXT UNIQUE ON CONFLICT REPLACE); INSERT INTO users VALUES ('a'), ('b')")
    config.redact "users", name: "'x'"

    expect { pull(redacted: true) }.to raise_error(Hotswap::Refused, /the table users does not accept the values .*UNIQUE constraint failed/)
  end

  refusals = {
    "a table that does not exist" => [->(config) { config.redact "user", :rows }, /config\.hotswap\.redact names the table user, but live\.sqlite3 has no such table\. Correct the rule\. Similar names: users, users_fts/],
    "a column that does not exist" => [->(config) { config.redact "users", mail: nil }, /names the column mail, but the table users has no such column/],
    "a generated column" => [->(config) { config.redact "users", domain: nil }, /names the column domain of users, which SQLite computes/],
    "an expression that is none" => [->(config) { config.redact "users", name: "lower(" }, /the expression for name in config\.hotswap\.redact "users" does not work: /],
    "several expressions" => [->(config) { config.redact "users", name: "1, 2" }, /does not work: /],
    "an aggregate" => [->(config) { config.redact "users", name: "max(name)" }, /it is one value for all rows/],
    "a value that the table does not take" => [->(config) { config.redact "users", email: nil }, /the table users does not accept the values of config\.hotswap\.redact: NOT NULL constraint failed/],
    "a value that breaks a CHECK" => [->(config) { config.redact "users", age: 300 }, /does not accept the values .*CHECK constraint failed/],
    "values that are not unique" => [->(config) { config.redact "users", email: "'x'" }, /does not accept the values .*UNIQUE constraint failed/],
    "columns of an index" => [->(config) { config.redact "users_fts", name: nil }, /names columns of users_fts, which has its values in users\. Write the rule for users/],
    "a file without a statement" => [->(config) { File.write("#{config.root}/bad.sql", "-- later") && config.redact_with("bad.sql") }, /cannot run .*bad\.sql.*: it has no statement/],
    "a file that SQLite would not read to its end" => [->(config) { File.write("#{config.root}/bad.sql", "DELETE FROM logs;\0 DELETE FROM users") && config.redact_with("bad.sql") }, /cannot run .*bad\.sql.*: it has a NUL character/],
    "a file that needs another one" => [->(config) { File.write("#{config.root}/bad.sql", "ATTACH 'live.sqlite3' AS live") && config.redact_with("bad.sql") }, /cannot run .*bad\.sql.*: not authorized\. Its statements can change only the copy, and attach no other file/],
    "columns of an index without content" => [->(config) { Secrets.open("#{config.root}/live.sqlite3") { |db| db.execute("CREATE VIRTUAL TABLE words USING fts5(word, content='')") } && config.redact("words", word: nil) }, /names columns of words, which keeps no values, only an index of them/],
    "a database that does not exist" => [->(config) { config.redact "users", :rows, database: "other" }, /names the database other, but hotswap manages no database of that name/],
    "no rule at all" => [->(_) {}, /config\.hotswap\.redact has no rule for live\.sqlite3/],
    "a file that does not exist" => [->(config) { config.redact_with "missing.sql" }, /cannot run .*missing\.sql, which config\.hotswap\.redact_with names: No such file or directory\. Correct that file/],
    "a file with a mistake" => [->(config) { File.write("#{config.root}/bad.sql", "DELETE FROM nowhere") && config.redact_with("bad.sql") }, /cannot run .*bad\.sql.*: no such table: nowhere/]
  }
  refusals.each do |what, (rule, why)|
    it "is refused for #{what}" do
      manage(users: 20)
      rule.call(config)

      expect { pull(redacted: true) }.to raise_error(Hotswap::Refused, why)
      expect(folder.children.map { |path| path.basename.to_s }).not_to include("copy.sqlite3", /staged/)
    end
  end

  it "is refused for tables that do not exist" do
    manage(users: 5)

    expect { pull(only: "user") }.to raise_error(Hotswap::UsageError, "--only names user, but the database has no such table. Similar names: users")
    expect { pull(only: "users_fts") }.to raise_error(Hotswap::UsageError, "--only names users_fts, which is an index over users and comes along with it. Name users instead")
    expect { pull(except: "users_fts_data") }.to raise_error(Hotswap::UsageError, /--except names users_fts_data, which/)
    expect { pull(only: "@content") }.to raise_error(Hotswap::UsageError, /--only names @content, but config\.hotswap\.tables has no such list/)
  end

  it "is refused if an index would keep removed values, unless that is emptied, too" do
    manage(users: 20)
    Secrets.open(live) do |db|
      db.execute("CREATE VIRTUAL TABLE hidden USING fts5(name, content='')")
      db.execute("INSERT INTO hidden (rowid, name) SELECT id, name FROM users")
      db.execute("CREATE TRIGGER users_are_noted AFTER UPDATE ON users BEGIN INSERT INTO notes (text) VALUES (new.name); END")
    end
    redact

    expect { pull(redacted: true) }.to raise_error(Hotswap::Refused, /the virtual table notes may hold values of users, which the copy leaves out or changes/)
    config.redact "notes", text: "'note'"
    expect { pull(redacted: true) }.to raise_error(Hotswap::Refused, /the virtual table hidden may hold values of /)
    config.redact "hidden", :rows
    pull(redacted: true)

    expect_sound
    expect(rows("notes").uniq).to eq [["note"]]
    expect(Secrets.in_file(copy)).to eq []
  end

  it "applies rules to their own database" do
    manage(users: 5)
    Secrets.fill(folder.join("queue.sqlite3"), users: 5)
    Hotswap.register(folder.join("queue.sqlite3"), name: "queue")
    config.redact "sessions", :rows
    config.redact "profiles", :rows, database: :queue
    Hotswap.pull(:queue, to: copy, redacted: true)

    expect([count("profiles"), count("sessions")]).to eq [0, 5]
  end
end
