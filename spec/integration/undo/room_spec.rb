# frozen_string_literal: true

require_relative "support/versions"

# A version gives way where a push would not find room otherwise.
RSpec.describe "a previous version on a disk that is nearly full", lane: "default" do
  include Versions

  app_on_small_disk(ItemsServer, 40, settings: "config.keep = 2") # of which a push leaves 16 MB

  def large(name, megabytes)
    app.file("#{name}.sqlite3", ItemsServer::SCHEMA, [name]).tap do |path|
      SQLite3::Database.new(path) { |db| db.execute("INSERT INTO items (name) VALUES (zeroblob(?))", [megabytes * 1_000_000]) }
    end
  end

  def copy(name, megabytes) = app.hotswap("cp", large(name, megabytes), Versions::LIVE).tap { settled }

  it "gives way to a push, the oldest one first, with a line; one that would not help stays", :linux do
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

# In place, the WAL and the copy of what is replaced need room as well.
RSpec.describe "a rollback in place on a disk that is nearly full", lane: "default" do
  include Versions

  app_on_small_disk(ItemsServer, 72)

  # With content that differs from that of every other one, of about 10 MB.
  def copy(name, *options)
    path = app.file("#{name}.sqlite3", ItemsServer::SCHEMA, [name])
    SQLite3::Database.new(path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(5000000)))") }
    app.hotswap("cp", *options, path, Versions::LIVE).tap { settled }
  end

  def held = app.database_path.then { |live| [live, *versions.map { |number| version(number) }] }.map { |file| names_in(file).map { |name| name[0, 10] } }

  it "is stricter than a push, which goes on with a warning" do
    expect(copy("first")).to be_ok
    FileUtils.rm_f(versions.map { |number| version(number) })
    leave(38_000_000)
    pushed = copy("second", "--in-place=always")
    expect(pushed).to be_ok
    expect(pushed.stderr).to match(/^WARNING: .*could not be kept.* needs \d+ MB plus a reserve/)
  end

  it "is refused before it writes, if there is no room to keep what it replaces" do
    %w[below above].each { |name| expect(copy(name)).to be_ok }
    app.post("/", name: "since")
    before = held
    leave(41_000_000)
    refused = rollback("--in-place=always")
    expect(refused.exit_code).to eq 3
    expect(refused.stderr).to match(/what it replaces could not be kept: .* needs \d+ MB plus a reserve of 16 MB.* Make room on that disk/)
    expect(held).to eq before

    FileUtils.rm_f(filler)
    expect(rollback("--in-place=always")).to be_ok
    settled
    expect(held).to eq before.reverse
  end
end
