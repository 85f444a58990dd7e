# frozen_string_literal: true

RSpec.describe "an SQLite compiled without mutexes and shared caches", lane: "sqlite3_from_source" do
  it "is what the application and hotswap's worker use" do
    database = SQLite3::Database.new(":memory:")
    options = database.execute("PRAGMA compile_options").flatten
    database.close

    expect(SQLite3.threadsafe).to eq 0
    expect(options).to include("THREADSAFE=0", "DQS=0", "OMIT_SHARED_CACHE")
  end

  it "swaps and pulls" do
    app = boot_app(workers: 2)

    expect(app.hotswap("cp", app.databases.release("new"), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "new"
    expect(app.hotswap("cp", "database", "log/backup.sqlite3")).to have_attributes(exit_code: 0)
    expect(TestDatabase.content(app.root.join("log/backup.sqlite3"))).to eq TestDatabase.content(app.database_path)
  end
end
