# frozen_string_literal: true

require "hotswap"

RSpec.describe "hotswap cp --offline before the first boot" do
  include Privileges

  before(:context) do
    @app = RailsApp.new
    @storage = FileUtils.rm_rf(app.root.join("storage")) && app.root.join("storage")
    @backup = TestDatabase.new(app.root).release("restored", name: "backup.sqlite3")
    app.write("config/initializers/00_hotswap.rb", <<~RUBY)
      puts "loading the settings"
      Rails.application.config.hotswap.database_paths = %w[test test-queue].map { |name| "storage/\#{name}.sqlite3" } if Rails.env.test?
    RUBY
  end

  before { boot_initializer.write('raise "the application boots"') }
  after { FileUtils.rm_rf(storage) }
  after(:context) { @app&.remove }

  attr_reader :app, :storage, :backup

  owner = 12_345

  def ownership(path) = File.stat(path).then { |stat| [stat.uid, stat.gid, format("%o", stat.mode & 0o7777)] }

  def boot_initializer = app.root.join("config/initializers/opens_the_database.rb")

  def listing = Dir.glob("**/*", base: storage).sort

  it "creates the database as the application would: its folder, its owner and its mode" do
    as_app = as_user(owner)
    FileUtils.chown_R(owner, owner, app.root)
    before = Dir.glob(app.root.join("**/*"))
    restored = app.hotswap("cp", backup, "primary", "--offline",
      program: ["sh", "-c", 'umask 027; exec "$@"', "sh", *HotswapCommand::PROGRAM], env: {"RAILS_LOG_TO_STDOUT" => "1"})

    expect(restored).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(restored.stderr).to start_with("loading the settings\nNo process of the application has storage/production.sqlite3 open.\nSwapping database...\n")
    expect(restored.stderr).to include("Created #{storage}, which did not exist.")
    expect(listing).to eq %w[production.sqlite3 production.sqlite3.hotswap production.sqlite3.hotswap.log]
    expect(ownership(storage)).to eq [owner, owner, "750"]
    expect(ownership(storage.join("production.sqlite3"))).to eq [owner, owner, "640"]
    expect(ownership(storage.join("production.sqlite3.hotswap"))).to eq [owner, owner, "600"]
    expect(ownership(storage.join("production.sqlite3.hotswap.log"))).to eq [owner, owner, "640"]
    # Such as a log that would belong to root.
    expect(Dir.glob(app.root.join("**/*")) - before).to match_array([storage, *listing.map { |name| storage.join(name) }].map(&:to_s))

    boot_initializer.delete
    booted = app.run(*as_app, *Project::RUBY, "bin/rails", "runner", 'Release.create!(version: "booted"); puts Release.pluck(:version).last(2)', env: {"HOME" => "/tmp"})
    expect(booted.lines(chomp: true).last(2)).to eq %w[restored booted]
  end

  it "manages the databases of RAILS_ENV that hotswap's initializer chooses, and keeps standard output clean" do
    env = {"RAILS_ENV" => "test"}
    restored = app.hotswap("cp", "-", "queue", "--offline", "--quiet", stdin_data: File.binread(backup), env: env)
    pulled = app.hotswap("cp", "storage/test-queue.sqlite3", "-", "--offline", env: env)

    expect(restored).to have_attributes(exit_code: 0, stdout: "", stderr: "loading the settings\n")
    expect(listing).to eq %w[test-queue.sqlite3 test-queue.sqlite3.hotswap test-queue.sqlite3.hotswap.log]
    expect(pulled).to have_attributes(exit_code: 0, stderr: /\Aloading the settings\nNo process of the application has storage\/test-queue.sqlite3 open.\nidentity: \h{32}\n\z/)
    expect(pulled.stdout.b == File.binread(backup)).to be true

    refused = app.hotswap("cp", backup, "cache", "--offline", env: env)
    expect(refused).to have_attributes(exit_code: 2, stdout: "", stderr: /^ERROR: neither path matches a managed database \(.*test.sqlite3, .*test-queue.sqlite3\)/)
  end

  it "leaves nothing behind if a signal ends it", lane: "default" do
    reader, writer = IO.pipe(binmode: true)
    restore = HotswapCommand.start("cp", "-", "primary", "--offline", chdir: app.root, env: DemoApp.environment, in: reader)
    writer.write(File.binread(backup, 50_000))
    eventually { storage.glob(".*.staged").any? }
    restore.kill(:TERM)

    expect(restore.wait).to have_attributes(exit_code: 143, stdout: "", stderr: "loading the settings\n")
    eventually { expect(storage).not_to exist }
  ensure
    [reader, writer].each(&:close)
  end

  it "leaves nothing behind if the file is refused, and names an environment without databases", lane: "default" do
    refused = app.hotswap("cp", "config.ru", "primary", "--offline")
    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(storage).not_to exist

    app.write("config/environments/nowhere.rb", "")
    unknown = app.hotswap("cp", backup, "primary", "--offline", env: {"RAILS_ENV" => "nowhere"})
    expect(unknown).to have_attributes(exit_code: 2, stdout: "", stderr: /^ERROR: --offline found no SQLite database for RAILS_ENV=nowhere\. Set RAILS_ENV/)
  end

  it "names the line of the application that does not load", lane: "default" do
    settings = app.root.join("config/environments/production.rb")
    before = settings.read
    settings.write("#{before}\nraise \"no such setting\"\n")
    failed = app.hotswap("cp", backup, "primary", "--offline")

    line = before.lines.size + 2
    expect(failed).to have_attributes(exit_code: 5, stdout: "")
    expect(failed.stderr).to eq "ERROR: cannot load the settings of the application in #{app.root}: no such setting (RuntimeError) at #{settings}:#{line}\n"
    expect(storage).not_to exist
  ensure
    settings&.write(before)
  end

  it "needs a Rails application", lane: "default" do
    Dir.mktmpdir("hs") do |folder|
      failed = HotswapCommand.run("cp", "a", "b", "--offline", chdir: folder)

      expect(failed).to have_attributes(exit_code: 2, stdout: "")
      expect(failed.stderr).to start_with("ERROR: there is no config/application.rb in #{File.realpath(folder)}").and include("call Hotswap::CLI.run")
    end
  end
end
