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

RSpec.describe "the installed gem", :package, lane: "default" do
  before(:context) { @gems = GemInstallation.make }

  include_examples "a gem that works"

  it "builds without a warning" do
    Dir.mktmpdir("hs") do |folder|
      expect(gems.run("gem", "build", "--output", File.join(folder, "hotswap.gem"), "hotswap.gemspec", chdir: Project::ROOT)).not_to include("WARNING")
    end
  end

  it "contains Cargo.lock, but no crates" do
    expect(gems.contents).to include("/Cargo.lock\n", "/ext/hotswap/src/lib.rs\n")
    expect(gems.contents.scan(%r{/ext/([^/\n]+)/}).flatten.uniq).to match_array %w[hotswap hotswap-core]
  end

  include_examples "a bin/hotswap that works", "bundle binstubs hotswap", %w[bundle binstubs hotswap]
  include_examples "a bin/hotswap that works", "bin/rails generate hotswap:install", %w[ruby bin/rails generate hotswap:install]
end

RSpec.describe "the precompiled gem", :package, lane: "default" do
  before(:context) { @gems = GemInstallation.make_precompiled }

  include_examples "a gem that works"

  it "contains its library, and needs neither Rust nor rb_sys" do
    expect(gems.contents).to include("/lib/hotswap/hotswap.so\n")
    expect(gems.contents).not_to match(/\.rs$|Cargo|extconf/)
    dependencies = gems.run("gem", "dependency", "--local", "^hotswap$", chdir: "/")
    expect(dependencies).to match(/sqlite3 \(.*>= 1\.7/)
    expect(dependencies).not_to include("rb_sys")
    expect { gems.run("cargo", "--version", chdir: "/") }.to raise_error(Errno::ENOENT)
  end

  include_examples "a bin/hotswap that works", "bin/rails generate hotswap:install", %w[ruby bin/rails generate hotswap:install]
end
