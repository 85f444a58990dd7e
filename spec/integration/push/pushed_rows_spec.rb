# frozen_string_literal: true

# contents.rs: what the rows of a file say about it.
RSpec.describe "a push of a file that" do
  running_app(ItemsServer)

  let(:internal) { "CREATE TABLE ar_internal_metadata (key TEXT PRIMARY KEY, value TEXT); CREATE TABLE schema_migrations (version TEXT PRIMARY KEY);" }
  let(:schema) { "#{ItemsServer::SCHEMA}; #{internal}" }

  def push(file, *flags) = app.hotswap("cp", file, "database", *flags)

  def file(items, environment: "production")
    app.file("files/incoming.sqlite3", schema, items).tap do |path|
      SQLite3::Database.new(path) do |db|
        db.execute("INSERT INTO ar_internal_metadata VALUES ('environment', ?)", [environment])
        db.execute("INSERT INTO schema_migrations VALUES ('1')")
      end
    end
  end

  before { expect(push(file(%w[old]), "--skip-schema-check")).to have_attributes(exit_code: 0) }

  it "is of another Rails environment succeeds, with a warning that says how to fix it" do
    path = file(%w[new], environment: "development")
    log = app.log.length
    pushed = push(path)

    said = "#{path} comes from the development environment. Afterwards, run bin/rails db:environment:set RAILS_ENV=production"
    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /\A#{Regexp.escape(said)}\nSwapping database\.\.\.\n#{HotswapCommand::WAY}, .*\n\z/)
    expect(app.log[log..]).to include(said)
    expect(push(file(%w[again], environment: "development"))).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
  end

  it "names no environment succeeds without a warning" do
    expect(push(file(%w[new], environment: "a\e[31m\nb"))).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
  end

  it "has no rows is refused if the live database has some, unless the schema check is skipped" do
    empty = file([])
    refused = untouched { push(empty) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr:
      "ERROR: every table of #{empty} is empty, but storage/app.sqlite3 has rows in items. storage/app.sqlite3 is untouched. " \
      "To empty it, pass --skip-schema-check\n")
    expect(push(empty, "--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq ""
    expect(push(empty)).to have_attributes(exit_code: 0, stdout: "OK\n")
  end

  it "has a schema in Latin-1 is refused, but succeeds with --skip-schema-check and a warning" do
    path = app.file("files/incoming.sqlite3", "#{schema} CREATE TABLE cafX (id);", %w[latin])
    File.binwrite(path, File.binread(path).gsub("cafX", "caf\xE9".b))
    refused = untouched { push(path) }

    expect(refused).to have_attributes(exit_code: 3, stderr: /^only in the file: caf\\xe9\n.*\. The schema of #{path} contains text that is not UTF-8$/)
    pushed = push(path, "--skip-schema-check")
    expect(pushed).to have_attributes(exit_code: 0, stderr: /^the schema of #{path} contains text that is not UTF-8/)
    expect(push(path)).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
    expect(app.version).to eq "latin"
  end

  it "needs an unregistered tokenizer is refused with the tokenizer's name" do
    path = app.file("files/incoming.sqlite3", "#{schema} CREATE VIRTUAL TABLE search USING fts5(body, tokenize='porter');", %w[words])
    File.binwrite(path, File.binread(path).gsub("tokenize='porter'", "tokenize='parter'"))
    pushed = push(path, "--skip-schema-check")

    if pushed.exit_code.zero?
      expect(TestDatabase.integrity(path)).to eq "ok"
    else
      expect(pushed).to have_attributes(exit_code: 3, stderr: /\AERROR: #{path} cannot be checked: no such tokenizer: parter\. The running database is untouched\. Name the extension/)
      expect(push(path, "--skip-schema-check", "--skip-integrity-check")).to have_attributes(exit_code: 0)
    end
  end
end
