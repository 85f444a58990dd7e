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

  it "pushes and pulls all the same, and leaves nothing but the fence, the record and the previous version" do
    new = database("new.sqlite3", ["new"])
    before = files
    program = ObedientProgram.new(folder)

    expect(program.tell("names")).to eq "old"
    expect(program.hotswap("cp", new, "database")).to match [0, "OK\n", HotswapCommand::SWAPPED]
    expect(program.tell("names")).to eq "new"
    expect(program.hotswap("cp", "database", "backup.sqlite3").first).to eq 0
    expect(names(folder.join("backup.sqlite3"))).to eq "new"
    eventually { expect(program.tell("LOG.string")).to match(/push complete: app\.sqlite3.*pull complete/m) }
    # The program's own connection is open, so its WAL is there.
    program.tell("@database.close")
    eventually { expect(files).to eq((before + %w[app.sqlite3.hotswap app.sqlite3.hotswap.log app.sqlite3.previous backup.sqlite3]).sort) }
  end

  it "moves the other programs that have the database open, none of which serves" do
    new = database("new.sqlite3", ["new"])
    one, other = Array.new(2) { ObedientProgram.new(folder) }
    expect([one, other].map { |program| program.tell("names") }).to eq %w[old old]

    expect(one.hotswap("cp", new, "database").first).to eq 0
    expect([one, other].map { |program| program.tell("names") }).to eq %w[new new]
  end

  it "runs commands of several threads one after the other, without mixing what they say" do
    files = Array.new(3) { |n| database("new-#{n}.sqlite3", ["new-#{n}"]) }
    program = ObedientProgram.new(folder)
    codes, outs, errs = program.tell(<<~RUBY.tr("\n", ";")).transpose
      #{files.inspect}.map { |file| Thread.new { hotswap("cp", file, "database") } }.map(&:value)
    RUBY

    expect(codes).to all eq(0).or eq(4)
    expect(codes).to include 0
    codes.zip(outs, errs) do |code, out, err|
      waited = /\A(Waiting for process \d+( \(hotswap worker\))?, which is swapping this database\.\.\.\n)?/
      expect([out, err.sub(waited, "")]).to match((code == 0) ? ["OK\n", HotswapCommand::SWAPPED] : ["", /\AERROR: .+\n\z/m])
    end
    expect(names).to match(/\Anew-[0-2]\z/)
  end

  it "runs commands of two programs at once, and each is done or busy" do
    programs = Array.new(2) { ObedientProgram.new(folder) }
    programs.each { |program| program.tell("names") }
    2.times do |round|
      files = Array.new(2) { |n| database("new-#{round}-#{n}.sqlite3", ["new-#{round}-#{n}"]) }
      programs.zip(files) { |program, file| program.ask("hotswap('cp', #{file.inspect}, 'database')") }
      codes = programs.map { |program| program.answer.first }
      expect(codes).to all eq(0).or eq(4)
      expect(codes).to include 0
      expect(programs.map { |program| program.tell("names") }.uniq).to contain_exactly(/\Anew-#{round}-[01]\z/)
    end
  end

  # What the log says when the child kills itself; the worker may be a step further.
  steps = ["command: cp", "received", "acquiring swap lock", "swap lock acquired", Project.linux? ? "renamed" : "wrote", "push complete"]

  it "leaves the old or the new database and no files if it is killed at any step" do
    old, new = database("old.sqlite3", ["old"]), database("new.sqlite3", ["new"])
    program = ObedientProgram.new(folder)
    program.hotswap("cp", old, "database")
    before = files
    found = steps.map do |step|
      at_the_step = "def LOG.write(line) = (super; Process.kill(:KILL, $$) if line.include?(#{step.inspect}))"
      expect(program.fate_of_child(%(#{at_the_step}; hotswap("cp", #{new.inspect}, "database")))).to eq Signal.list["KILL"]

      eventually { expect(workers).to eq [] }
      expect(TestDatabase.integrity(folder.join("app.sqlite3"))).to eq "ok"
      expect(files).to eq before
      names.tap { expect(program.hotswap("cp", old, "database").first).to eq 0 }
    end

    expect(found).to all eq("old").or eq("new")
    expect([found.first, found.last]).to eq %w[old new]
  end

  it "changes nothing and leaves nothing if it is killed while it reads a stream" do
    new = database("new.sqlite3", ["new"])
    program = ObedientProgram.new(folder)
    program.hotswap("cp", "database", "backup.sqlite3")
    before = files
    stream = "Class.new { def read(_) = @half ? Process.kill(:KILL, $$) : (@half = File.binread(#{new.inspect}, 4096)) }.new"
    expect(program.fate_of_child(%(hotswap("cp", "-", "database", stdin: #{stream})))).to eq Signal.list["KILL"]

    eventually { expect(workers).to eq [] }
    expect(files).to eq before
    expect(names).to eq "old"
  end

  it "is not disturbed by a child that the program forks meanwhile" do
    new = database("new.sqlite3", ["new"])
    program = ObedientProgram.new(folder)
    # The child ends as any Ruby program does: Ruby frees all objects.
    pushed = program.tell(<<~RUBY.tr("\n", ";"))
      stream = Class.new { def read(_) = @io ? @io.read(_) : (Process.wait(fork { GC.start }); @io = File.open(#{new.inspect}, "rb"); @io.read(_)) }.new
      hotswap("cp", "-", "database", stdin: stream)
    RUBY

    expect(pushed).to match [0, "OK\n", HotswapCommand::SWAPPED]
    expect(names).to eq "new"
  end

  it "ends with the program, even if a child that it has forked meanwhile lives on" do
    program = ObedientProgram.new(folder)
    stream = "Class.new { def read(_) = (File.write('child', fork { sleep }); Process.kill(:KILL, $$)) }.new"
    expect(program.fate_of_child(%(hotswap("cp", "-", "database", stdin: #{stream})))).to eq Signal.list["KILL"]

    eventually { expect(workers).to eq [] }
  ensure
    Process.kill(:KILL, folder.join("child").read.to_i)
  end

  # The workers of programs in this folder.
  def workers
    Dir.glob("/proc/[0-9]*").map { |process| File.basename(process).to_i }.select do |pid|
      File.readlink("/proc/#{pid}/cwd") == folder.to_s && ServerProcess.command_line(pid).include?("worker")
    rescue SystemCallError
      false
    end
  end

  context "when the application runs" do
    def program(app) = ObedientProgram.new(app.root, database: "storage/app.sqlite3")

    it "asks the server, and the processes of the cluster move" do
      app = keep(ItemsServer.start(workers: 2))
      new = app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"])
      console = program(app)
      expect(console.tell("names")).to eq "old"

      expect(console.hotswap("cp", new, "database")).to match [0, "OK\n", HotswapCommand::SWAPPED]
      expect(console.tell("names")).to eq "new"
      expect(Array.new(10) { app.version }.uniq).to eq ["new"]
      expect(console.tell("LOG.string")).not_to include("push complete")
      eventually { expect(app.log).to include("push complete") }
    end

    it "pushes while the application boots, and the server has the newest" do
      app = console = pushed = nil
      # The console answers first, so its first push finds no server.
      booting = Thread.new { keep(ItemsServer.start { |server| console = program(app = server).tap { |ready| ready.tell("names") } }) }
      eventually { console }
      codes = []
      until !booting.alive? && console.tell("File.socket?(Hotswap.socket_path)")
        file = app.file("files/new-#{codes.size}.sqlite3", ItemsServer::SCHEMA, ["new-#{codes.size}"])
        codes << console.hotswap("cp", file, "database").first
        pushed = "new-#{codes.size - 1}" if codes.last.zero?
      end

      expect(codes.tally.keys - [4]).to eq [0]
      expect(booting.value.version).to eq pushed
      eventually { expect(console.tell("LOG.string")).to include("push complete") }
      expect(console.hotswap("cp", "database", "pulled.sqlite3").first).to eq 0
      eventually { expect(app.log).to include("pull complete") }
    end
  end
end
