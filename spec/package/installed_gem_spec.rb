# frozen_string_literal: true

require_relative "outside_app"

RSpec.describe "the installed gem", :package, lane: "default" do
  before(:context) { @gems = GemInstallation.make }
  after(:context) { @gems&.remove }

  attr_reader :gems

  it "loads without this repository" do
    loaded = gems.run("ruby", "-e", "require 'hotswap'; puts Hotswap::VERSION, $LOADED_FEATURES.grep(/hotswap/)", chdir: "/")

    expect(loaded.lines.first.chomp).to eq Gem.loaded_specs.fetch("hotswap").version.to_s
    expect(loaded).to include(gems.home.to_s)
    expect(loaded).not_to include(Project::ROOT.to_s)
  end

  it "carries its licence and the lock of its crates" do
    files = gems.run("gem", "contents", "hotswap", chdir: "/").gsub(%r{^.*/hotswap-[\d.]+(?=/)}, "")
    # Cargo marks the folder that it built in; RubyGems removes the rest of it.
    files = files.lines.grep_v(/CACHEDIR\.TAG/).join

    expect(files).to include("/LICENSE\n", "/Cargo.lock\n", "/README.md\n")
    expect(files).not_to match(%r{/(spec|demo|bench|target|tmp)/})
  end

  it "puts the command on the PATH of those who installed it" do
    expect(gems.run(gems.home.join("bin/hotswap").to_s, "version", chdir: "/"))
      .to eq "hotswap #{Gem.loaded_specs.fetch("hotswap").version}\n"
  end

  {
    "bundle binstubs hotswap" => %w[bundle binstubs hotswap],
    "bin/rails generate hotswap:install" => %w[ruby bin/rails generate hotswap:install]
  }.each do |name, command|
    describe "the bin/hotswap of `#{name}`" do
      before(:context) { @app = OutsideApp.start(gems: @gems) { |app| app.run(*command) } }
      after(:context) { @app&.tear_down }

      attr_reader :app

      it "pushes a database into the running application" do
        pushed = app.hotswap("cp", app.databases.release("v2"), "storage/production.sqlite3")

        expect(pushed).to have_attributes(stdout: "OK\n", exit_code: 0)
        expect(app.version).to eq "v2"
      end

      it "pushes from a pipe, from anywhere, by absolute path" do
        database = File.binread(app.databases.release("v3"))
        pushed = app.hotswap("cp", "-", app.database_path, stdin_data: database, chdir: "/")

        expect(pushed).to have_attributes(stdout: "OK\n", exit_code: 0)
        expect(app.version).to eq "v3"
      end

      it "pulls what the application serves" do
        pulled = app.hotswap("cp", "storage/production.sqlite3", "backup.sqlite3")

        expect(pulled).to have_attributes(exit_code: 0, stderr: "")
        expect(TestDatabase.integrity(app.root.join("backup.sqlite3"))).to eq "ok"
        expect(TestDatabase.version(app.root.join("backup.sqlite3"))).to eq app.version
      end
    end
  end
end
