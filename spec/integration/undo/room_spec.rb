# frozen_string_literal: true

require_relative "support/versions"

# A version gives way where a push would not find room otherwise.
RSpec.describe "a previous version on a disk that is nearly full", lane: "default" do
  include Versions

  before(:context) do
    skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
    @app = ItemsServer.start(settings: "config.keep = 2") do |app|
      @root = app.root
      @disk = SmallDisk.new(app.root.join("storage"), 40).tap(&:mount) # of which a push leaves 16 MB
    end
  end

  after(:context) do
    @app&.tear_down
  ensure
    @disk&.unmount
    FileUtils.rm_rf(@root) if @root
  end

  attr_reader :app

  def large(name, megabytes)
    app.file("#{name}.sqlite3", ItemsServer::SCHEMA, [name]).tap do |path|
      SQLite3::Database.new(path) { |db| db.execute("INSERT INTO items (name) VALUES (zeroblob(?))", [megabytes * 1_000_000]) }
    end
  end

  def copy(name, megabytes) = app.hotswap("cp", large(name, megabytes), Versions::LIVE).tap { settled }

  it "gives way to a push, the oldest one first, with a line; one that would not help stays" do
    expect(copy("first", 6)).to be_ok
    expect(copy("second", 6)).to be_ok
    expect(versions).to eq [1, 2]
    expect(copy("third", 9)).to be_ok
    expect(versions).to eq [1, 2]

    result = copy("fourth", 8)
    expect(result).to be_ok
    expect(result.stderr).to match(/^removed .*app\.sqlite3\.previous\.2 \(\d+ bytes\), because the disk has no room for this push otherwise$/)
    expect(File.binread(version(1))).to include "third"
    expect(versions.first).to eq 1

    before = versions
    refused = app.hotswap("cp", large("too-large", 39), Versions::LIVE)
    expect(refused).to have_attributes(exit_code: 3, stderr: /Make room/)
    expect(versions).to eq before
  end
end
