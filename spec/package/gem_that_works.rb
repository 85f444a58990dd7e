# frozen_string_literal: true

require_relative "outside_app"

RSpec.shared_examples "a gem that works" do
  after(:context) { @gems&.remove }

  attr_reader :gems

  it "loads without this repository" do
    loaded = gems.run("ruby", "-e", "require 'hotswap'; puts Hotswap::VERSION, $LOADED_FEATURES.grep(/hotswap/)", chdir: "/")

    expect(loaded.lines.first.chomp).to eq Gem.loaded_specs.fetch("hotswap").version.to_s
    expect(loaded).to include(gems.home.to_s)
    expect(loaded).not_to include(Project::ROOT.to_s)
  end

  it "contains its licence, documents and types, and no development files" do
    expect(gems.contents).to include("/LICENSE\n", "/README.md\n", "/docs/protocol.md\n", "/sig/hotswap.rbs\n", "/lib/hotswap/dashboard/overview.erb\n",
      "/lib/hotswap/dashboard/dashboard.css\n", "/lib/hotswap/dashboard/dashboard.js\n")
    expect(gems.contents).not_to match(%r{/(spec|demo|bench|target|tmp|vendor|gemfiles)/})
  end

  it "puts the command on the PATH" do
    expect(gems.run(gems.home.join("bin/hotswap").to_s, "version", chdir: "/"))
      .to eq "hotswap #{Gem.loaded_specs.fetch("hotswap").version}\n"
  end
end

RSpec.shared_examples "a bin/hotswap that works" do |name, command|
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

      expect(pulled).to have_attributes(exit_code: 0, stdout: "", stderr: HotswapCommand::PULLED)
      expect(TestDatabase.integrity(app.root.join("backup.sqlite3"))).to eq "ok"
      expect(TestDatabase.version(app.root.join("backup.sqlite3"))).to eq app.version
    end
  end
end
