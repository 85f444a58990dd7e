# frozen_string_literal: true

# schema.rs, `difference`, of what sql.rs, `meaning`, makes of each statement.
RSpec.describe "a push of a database with another schema" do
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

  def expect_refused(schema, difference, items: %w[new])
    refused = untouched { push(schema, items) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: "ERROR: schema mismatch\n#{difference}")
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
    "a column more" => "id INTEGER PRIMARY KEY, name TEXT, price REAL",
    "a constraint more" => "id INTEGER PRIMARY KEY, name TEXT NOT NULL",
    "another type" => "id INTEGER PRIMARY KEY, name BLOB",
    "another default" => "id INTEGER PRIMARY KEY, name TEXT DEFAULT 'new'",
    "another collation" => "id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE",
    "the columns in another order" => "name TEXT, id INTEGER PRIMARY KEY"
  }.each do |what, columns|
    it "is refused, and shows both sides, for #{what}" do
      expect_refused(live.sub(/\(id.*?\)/, "(#{columns})"),
        "- CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)\n+ CREATE TABLE items (#{columns})\n")
    end
  end

  context "where the schema changes" do
    after { push(live, %w[old], flags: "--skip-schema-check") }

    {
      "in its white space" => ["(id INTEGER PRIMARY KEY, name TEXT)", "(\n  id   INTEGER\tPRIMARY KEY,\n  name TEXT\n)"],
      "in the case of its keywords" => ["CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)", "create table items (id integer primary key, name text)"],
      "in its quotes" => ["items (id INTEGER PRIMARY KEY, name TEXT)", %("items" ("id" INTEGER PRIMARY KEY, `name` TEXT))],
      "in its comments" => ["name TEXT)", "name TEXT -- as it is shown\n)"],
      "in the order of its statements" => [live, live.lines.then { |lines| [lines[0], *lines.drop(1).reverse].join }]
    }.each do |what, (here, there)|
      it "is no such push when the schema differs #{what} only" do
        incoming = live.sub(here, there)
        expect(incoming).not_to eq live

        expect(push(incoming, [what])).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.version).to eq what
      end
    end

    it "is no such push when one of both sides was ANALYZEd" do
      [%w[analyzed ANALYZE], ["plain", ""]].each do |name, statement|
        file = app.file("files/incoming.sqlite3", live, [name])
        SQLite3::Database.new(file) { |db| db.execute_batch(statement) }

        expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.version).to eq name
      end
    end

    it "goes through with --skip-schema-check" do
      incoming = "#{ItemsServer::SCHEMA}; CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)"

      expect(push(incoming, %w[other], flags: "--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq "other"
    end

    it "is refused with the documented words" do
      push(ItemsServer::SCHEMA, flags: "--skip-schema-check")
      incoming = app.file("files/incoming.sqlite3", "CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)")

      refused = untouched { app.hotswap("cp", incoming, app.database_path) }

      expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: <<~TEXT)
        ERROR: schema mismatch
        - CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)
        + CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)
      TEXT
    end
  end
end
