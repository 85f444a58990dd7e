# frozen_string_literal: true

require "tmpdir"
require_relative "../../support/items_server"
require_relative "support/obedient_program"

# `Hotswap::CLI.run` in a program of an application of which no process serves the socket. The program starts the worker
# itself, and everything else is as with a server.
RSpec.describe "a program without a server", lane: "default" do
  around { |example| Dir.mktmpdir("hs") { |folder| (@folder = Pathname(folder).realpath) && example.run } }

  attr_reader :folder

  before { database("app.sqlite3", ["old"], journal_mode: "wal") }

  def database(name, items, journal_mode: "delete")
    path = folder.join(name).to_s
    SQLite3::Database.new(path) do |db|
      db.execute("PRAGMA journal_mode = #{journal_mode}")
      db.execute_batch(ItemsServer::SCHEMA)
      items.each { |item| db.execute("INSERT INTO items (name) VALUES (?)", [item]) }
    end
    path
  end

  def names(path = folder.join("app.sqlite3"))
    TestDatabase.read(path) { |db| db.execute("SELECT name FROM items ORDER BY id").join(" ") }
  end

  def files = Dir.children(folder).sort

  it "pushes and pulls all the same, and leaves nothing but the fence" do
    new = database("new.sqlite3", ["new"])
    before = files
    program = ObedientProgram.new(folder)

    expect(program.tell("names")).to eq "old"
    expect(program.hotswap("cp", new, "database")).to match [0, "OK\n", HotswapCommand::SWAPPED]
    expect(program.tell("names")).to eq "new"
    expect(program.hotswap("cp", "database", "backup.sqlite3").first).to eq 0
    expect(names(folder.join("backup.sqlite3"))).to eq "new"
    expect(program.tell("LOG.string")).to match(/push complete: app\.sqlite3.*pull complete/m)
    # The program's own connection is open, so its WAL is there.
    program.tell("@database.close")
    eventually { expect(files).to eq((before + %w[app.sqlite3.hotswap backup.sqlite3]).sort) }
  end

  it "moves the other programs that have the database open, none of which serves" do
    new = database("new.sqlite3", ["new"])
    one, other = Array.new(2) { ObedientProgram.new(folder) }
    expect([one, other].map { |program| program.tell("names") }).to eq %w[old old]

    expect(one.hotswap("cp", new, "database").first).to eq 0
    expect([one, other].map { |program| program.tell("names") }).to eq %w[new new]
  end
end
