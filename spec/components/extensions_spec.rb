# frozen_string_literal: true

# Databases that only an extension can read: what the application loads, the checks load as well.
RSpec.describe "extensions in database.yml", :thorough, lane: "components" do
  before(:context) do
    require "sqlite_vec"
    require "sqlite_ulid"
    @extensions = [SqliteVec.loadable_path, SqliteUlid.ulid_loadable_path]
  end

  attr_reader :app

  def boot(extensions)
    @app = boot_app do |server|
      yaml = server.root.join("config/database.yml")
      yaml.write(yaml.read.sub("  timeout: 5000\n", "  timeout: 5000\n  extensions: #{JSON.generate(extensions)}\n"))
      edit(server.database_path) { |database| database.execute_batch(schema) } if extensions.any?
      server.write("config/initializers/vectors.rb", <<~RUBY)
        class VectorsController < ActionController::Base
          def show = render(json: {nearest: Release.connection_pool.with_connection { |it| it.select_value("SELECT rowid FROM vectors WHERE embedding MATCH '[1, 1]' ORDER BY distance LIMIT 1") }})
        end
        Rails.application.config.after_initialize { Rails.application.routes.append { get "nearest", to: "vectors#show" } }
      RUBY
    end
  end

  def schema
    "CREATE VIRTUAL TABLE vectors USING vec0(embedding float[2]); CREATE TABLE marks (id TEXT PRIMARY KEY DEFAULT (ulid()), at TEXT CHECK (length(ulid()) = 26)); " \
      "INSERT INTO vectors (rowid, embedding) VALUES (1, '[0, 0]'), (2, '[9, 9]')"
  end

  def edit(file)
    database = SQLite3::Database.new(file.to_s, extensions: @extensions)
    yield database
  ensure
    database&.close
  end

  def release(version, statement)
    app.databases.release(version).tap { |file| edit(file) { |database| database.execute_batch("#{schema}; #{statement}") } }
  end

  def push(version, statement, *options) = app.hotswap("cp", release(version, statement), "database", *options)

  it "can be checked, swapped and pulled" do
    boot(@extensions)
    expect(app.get("/nearest").json).to eq("nearest" => 1)

    expect(push("near", "UPDATE vectors SET embedding = '[1, 1]' WHERE rowid = 2")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.get("/nearest").json).to eq("nearest" => 2)
    expect(app.version).to eq "near"

    expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 0)
    edit(app.root.join("backup.sqlite3")) { |database| expect(database.get_first_value("SELECT count(*) FROM vectors")).to eq 2 }

    other = push("other", "CREATE VIRTUAL TABLE more USING vec0(embedding float[3])")
    expect(other).to have_attributes(exit_code: 3)
    expect(other.stderr).to include("schema mismatch", "+ CREATE VIRTUAL TABLE more USING vec0(embedding float[3])")
  end

  it "that are missing make a push of a file that needs them fail, with their names" do
    boot([])
    [[], ["--skip-schema-check"]].each do |options|
      pushed = push("refused", "SELECT 1", *options)

      expect(pushed).to have_attributes(exit_code: 3, stdout: "")
      expect(pushed.stderr).to match(/refused\.sqlite3 cannot be checked: (no such module: vec0|unknown function: ulid\(\)); .*`extensions:`/)
    end
    expect(app.version).to eq "v1"
  end
end
