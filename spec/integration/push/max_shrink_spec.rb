# frozen_string_literal: true

# check/lost_rows.rs
RSpec.describe "the rows that a push loses", lane: "default" do
  schema = "#{ItemsServer::SCHEMA}; CREATE TABLE \"odd \"\"name\" (a); CREATE TABLE words (a PRIMARY KEY) WITHOUT ROWID"

  before(:context) { @app = ItemsServer.start(schema: schema, settings: 'config.max_shrink = "90%"') }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:schema) { schema }

  before { expect(push("old", items: 100, words: 10, flags: ["--max-shrink", "100%"])).to have_attributes(exit_code: 0) }

  def push(name, items:, words:, flags: [], schema: self.schema)
    file = app.file("files/new.sqlite3", schema, [name] * items)
    SQLite3::Database.new(file) do |db|
      words.times { |n| db.execute("INSERT INTO words VALUES (?)", [n]) }
      db.execute("INSERT INTO \"odd \"\"name\" VALUES (1)") if name == "old"
    end
    app.hotswap("cp", file, "database", *flags)
  end

  it "may be as many as --max-shrink says, and no more, in each table" do
    expect(push("half", items: 50, words: 10, flags: %w[--max-shrink 50%])).to have_attributes(exit_code: 3, stderr: /odd "name 1 → 0 \(-100%\)\. /)
    expect(push("fewer", items: 100, words: 4, flags: %w[--max-shrink=50])).to have_attributes(exit_code: 3, stderr: /: odd "name .*, words 10 → 4 \(-60%\)\. storage\/app\.sqlite3 is untouched/)
    expect(app.version).to start_with "old"
    refused = push("fewer", items: 49, words: 10, flags: %w[--max-shrink 50% --json])
    expect(JSON.parse(refused.stdout)).to include("exit_status" => 3, "error" => include("items 100 → 49 (-51%), odd "))
  end

  it "are limited by the setting, and a table that is gone has lost all of them" do
    gone = push("gone", items: 100, words: 10, schema: schema.sub('CREATE TABLE "odd ""name" (a);', ""), flags: ["--skip-schema-check"])
    expect(gone).to have_attributes(exit_code: 3, stderr: /would remove more rows than max_shrink \(90%\) allows: odd "name 1 → gone \(-100%\)/)
    expect(app.version).to start_with "old"
  end

  it "are all of a table's rows only with a warning, which names it" do
    warned = push("fewer", items: 1, words: 0, flags: ["--max-shrink", "100%"])
    expect(warned).to have_attributes(exit_code: 0, stderr: /\Athese tables lose all their rows: odd "name, words\nSwapping/)
    expect(app.log).to match(/WARN.*these tables lose all their rows/)
  end

  it "refuses what is no percentage" do
    expect(app.hotswap("cp", "new.sqlite3", "database", "--max-shrink", "half"))
      .to have_attributes(exit_code: 2, stderr: /it must be a percentage from 0% to 100%/)
  end
end
