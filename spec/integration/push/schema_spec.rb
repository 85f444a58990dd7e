# frozen_string_literal: true

# schema/mod.rs, `difference`, of what schema/words.rs, `meaning`, makes of each statement.
RSpec.describe "a push of a database with another schema", lane: "default" do
  live = <<~SQL
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
    CREATE INDEX items_by_name ON items (name);
    CREATE VIEW names AS SELECT name FROM items;
    CREATE TRIGGER shout AFTER INSERT ON items BEGIN UPDATE items SET name = upper(name) WHERE id = 0; END;
  SQL

  before(:context) { @app = ItemsServer.start(schema: live) }
  after(:context) { @app&.tear_down }

  attr_reader :app

  def push(schema, items = %w[new], flags: [])
    app.hotswap("cp", app.file("files/incoming.sqlite3", schema, items), "database", *flags)
  end

  def untouched_words = "storage/app.sqlite3 is untouched. If you want the new schema, pass --skip-schema-check"

  def expect_refused(schema, difference, items: %w[new])
    refused = untouched { push(schema, items) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(refused.stderr).to match(/\AERROR: schema mismatch\n#{Regexp.escape(difference)}(only|changed).*\n#{Regexp.escape(untouched_words)}\n\z/)
  end

  {
    "a table" => "CREATE TABLE products (id INTEGER PRIMARY KEY)",
    "an index" => "CREATE INDEX items_by_id ON items (id DESC)",
    "a view" => "CREATE VIEW ids AS SELECT id FROM items",
    "a trigger" => "CREATE TRIGGER hush AFTER DELETE ON items BEGIN SELECT 1; END"
  }.each do |what, addition|
    it "is refused, and shows #{what} that is only in the file" do
      expect_refused("#{live}#{addition};", "+ #{addition}\n")
    end
  end

  live.lines(chomp: true).drop(1).each do |line|
    statement = line.delete_suffix(";")
    it "is refused, and shows what only the live database has: #{statement[0, 32]}..." do
      expect_refused(live.sub("#{line}\n", ""), "- #{statement}\n")
    end
  end

  {
    "an additional column" => "id INTEGER PRIMARY KEY, name TEXT, price REAL",
    "an additional constraint" => "id INTEGER PRIMARY KEY, name TEXT NOT NULL",
    "another type" => "id INTEGER PRIMARY KEY, name BLOB",
    "another default" => "id INTEGER PRIMARY KEY, name TEXT DEFAULT 'new'",
    "another collation" => "id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE",
    "the columns in another order" => "name TEXT, id INTEGER PRIMARY KEY",
    "a keyword in quotes" => %(id INTEGER "PRIMARY" KEY, name TEXT),
    "a letter that looks like white space" => "id INTEGER \u00a0PRIMARY KEY, name TEXT"
  }.each do |what, columns|
    it "is refused, and shows both sides, for #{what}" do
      expect_refused(live.sub(/\(id.*?\)/, "(#{columns})"),
        "- CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)\n+ CREATE TABLE items (#{columns})\n")
    end
  end

  context "with a new schema" do
    after { push(live, %w[old], flags: "--skip-schema-check") }

    {
      "in its white space" => ["(id INTEGER PRIMARY KEY, name TEXT)", "(\n  id   INTEGER\tPRIMARY KEY,\n  name TEXT\n)"],
      "in the case of its keywords" => ["CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)", "create table items (id integer primary key, name text)"],
      "in its quotes" => ["items (id INTEGER PRIMARY KEY, name TEXT)", %("items" ("id" INTEGER PRIMARY KEY, `name` TEXT))],
      "in its comments" => ["name TEXT)", "name TEXT -- as it is shown\n)"],
      "in the order of its statements" => [live, live.lines.then { |lines| [lines[0], *lines.drop(1).reverse].join }]
    }.each do |what, (here, there)|
      it "succeeds if the schemas differ only #{what}" do
        incoming = live.sub(here, there)
        expect(incoming).not_to eq live

        expect(push(incoming, [what])).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.version).to eq what
      end
    end

    it "succeeds if only one side was ANALYZEd" do
      [%w[analyzed ANALYZE], ["plain", ""]].each do |name, statement|
        file = app.file("files/incoming.sqlite3", live, [name])
        SQLite3::Database.new(file) { |db| db.execute_batch(statement) }

        expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.version).to eq name
      end
    end

    it "succeeds with --skip-schema-check" do
      incoming = "#{ItemsServer::SCHEMA}; CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)"

      expect(push(incoming, %w[other], flags: "--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq "other"
    end

    it "is refused with the documented message" do
      push(ItemsServer::SCHEMA, flags: "--skip-schema-check")
      incoming = app.file("files/incoming.sqlite3", "CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)")

      refused = untouched { app.hotswap("cp", incoming, app.database_path) }

      expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: <<~TEXT)
        ERROR: schema mismatch
        - CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)
        + CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)
        only live: items; only in the file: products
        #{untouched_words}
      TEXT
    end
  end

  it "is refused if only the case of a string differs, in any quotes" do
    tables = %w[Admin admin].map { |name| live.sub("name TEXT", %(name TEXT DEFAULT "#{name}" CHECK (name <> "#{name}"))) }
    push(tables.first, flags: "--skip-schema-check")

    expect(push(tables.last)).to have_attributes(exit_code: 3, stderr: /^changed: items.name, items \(its constraints\)$/)
  ensure
    push(live, %w[old], flags: "--skip-schema-check")
  end

  describe "with a long difference" do
    it "shows twenty statements, the number of the others, and the names; the log has one line" do
      tables = (1..60).map { |n| "CREATE TABLE more_#{n} (\n  id INTEGER PRIMARY KEY\n)" }
      log = app.log.length
      refused = untouched { push("#{live}#{tables.join(";")}") }

      expect(refused).to have_attributes(exit_code: 3, stdout: "")
      lines = refused.stderr.lines(chomp: true)
      expect(lines.first(4)).to eq ["ERROR: schema mismatch", "+ CREATE TABLE more_1 (", "+   id INTEGER PRIMARY KEY", "+ )"]
      expect(lines.grep(/\A\+ CREATE/).size).to eq 20
      expect(lines.last(3)).to match ["... and 0 more live, 40 more in the file", /\Aonly in the file: more_1, .* and 40 more\z/, untouched_words]
      logged = app.log[log..].lines.grep(/schema mismatch/)
      expect(logged).to match [/command failed: schema mismatch: only in the file: more_1, .* and 40 more \(/]
      expect(app.log[log..]).not_to include "CREATE TABLE"
    end

    it "fits its message into one frame" do
      columns = (1..150).map { |n| "column_#{n}_of_many TEXT NOT NULL DEFAULT ''" }.join(", ")
      refused = untouched { push((1..300).map { |n| "CREATE TABLE wide_#{n} (#{columns});" }.join + ItemsServer::SCHEMA) }

      expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: schema mismatch\n- CREATE INDEX items_by_name/)
      expect(refused.stderr.bytesize).to be < 100_000
      expect(refused.stderr).to end_with "#{untouched_words}\n"
    end
  end

  # Only tables are left out, and only those of which SQLite says so or that are a tool's to the last column.
  describe "with names that SQLite or a tool would use" do
    search = "#{live}CREATE VIRTUAL TABLE search USING fts5(body); CREATE VIRTUAL TABLE terms USING fts5vocab(search, 'row');"

    before(:context) { push(search, flags: "--skip-schema-check") }
    after(:context) { push(live, %w[old], flags: "--skip-schema-check") }

    {
      "a trigger named like Litestream's tables" => "CREATE TRIGGER _litestream_seq AFTER INSERT ON items BEGIN DELETE FROM items; END",
      "a trigger named like a full-text search table" => "CREATE TRIGGER search_data AFTER INSERT ON items BEGIN DELETE FROM items; END",
      "a trigger named like SQLite's own tables" => "CREATE TRIGGER sqlite_evil AFTER INSERT ON items BEGIN DELETE FROM items; END",
      "an index on a full-text search table" => "CREATE INDEX search_data_id ON search_data (id)",
      "a view named like Litestream's tables" => "CREATE VIEW _litestream_lock AS SELECT 1",
      "a table named like Litestream's, with another column" => "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER, more)",
      "a table named like that of a virtual table without tables" => "CREATE TABLE terms_blocked (term TEXT)",
      "a table named like that of a virtual table with other tables" => "CREATE TABLE search_log (query TEXT)",
      "a table named like SQLite's statistics, with another column" => "CREATE TABLE sqlite_stat1 (tbl, idx, stat, more)"
    }.each do |what, statement|
      it "is refused for #{what}" do
        # SQLite makes no such name; in a file it is one all the same.
        file = app.file("files/incoming.sqlite3", "#{search}#{statement.sub("sqlite_", "xqlite_")};", %w[new])
        File.binwrite(file, File.binread(file).gsub("xqlite_", "sqlite_")) if statement.include?("sqlite_")
        inode = File.stat(app.database_path).ino

        expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 3,
          stderr: /\AERROR: schema mismatch\n\+ #{Regexp.escape(statement)}$/)
        expect(File.stat(app.database_path).ino).to eq inode
      end
    end

    it "succeeds with Litestream's tables and other full-text search tables" do
      litestream = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER);"
      [litestream, ""].each do |tables|
        expect(push("#{search}#{tables}DROP TABLE search_docsize;", %w[again], flags: "--skip-integrity-check")).to have_attributes(exit_code: 0)
      end
      expect(app.version).to eq "again"
    end

    # Then SQLite cannot say which tables are the virtual table's own.
    it "compares every table if the module of a virtual table is missing" do
      files = ["", "CREATE TABLE search_log (query TEXT);"].map.with_index do |table, number|
        file = app.file("files/module-#{number}.sqlite3", "#{live}CREATE VIRTUAL TABLE search USING fts5(body);#{table}", %w[module])
        File.binwrite(file, File.binread(file).gsub("USING fts5", "USING nope"))
        file
      end
      skipped = %w[--skip-integrity-check --skip-schema-check]
      expect(app.hotswap("cp", files.first, "database", *skipped)).to have_attributes(exit_code: 0)

      expect(app.hotswap("cp", files.first, "database", skipped.first)).to have_attributes(exit_code: 0)
      expect(app.hotswap("cp", files.last, "database", skipped.first)).to have_attributes(exit_code: 3, stderr: /^only in the file: search_log$/)
    ensure
      push(search, flags: "--skip-schema-check")
    end
  end
end
