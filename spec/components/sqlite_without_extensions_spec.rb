# frozen_string_literal: true

RSpec.describe "an SQLite compiled without load_extension", lane: "sqlite3_without_extensions" do
  it "is installed in this lane" do
    database = SQLite3::Database.new(":memory:")
    options = database.execute("PRAGMA compile_options").flatten
    database.close

    expect(options).to include("OMIT_LOAD_EXTENSION")
    expect(SQLite3::Database.method_defined?(:enable_load_extension)).to be false
  end

  {"Puma" => {}, "a cluster of Puma" => {workers: 2}}.each do |server, options|
    it "makes #{server} log what to do at boot, and serve its visitors without hotswap", aggregate_failures: true do
      app = boot_app(**options)

      expect(app.version).to eq "v1"
      expect(app.log.scan(/hotswap is not available: .*/)).to all(eq(<<~TEXT.chomp)).and have_attributes(size: 1)
        hotswap is not available: this build of the sqlite3 gem cannot load extensions, which a worker needs. \
        Install the precompiled gem, or build it without SQLITE_OMIT_LOAD_EXTENSION
      TEXT
      expect(app.log).not_to include("managing")
      expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 1, stderr: /\AERROR: socket not found/)
      expect(app.root.join("backup.sqlite3")).not_to exist
    end
  end
end
