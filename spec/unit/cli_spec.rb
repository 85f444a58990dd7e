# frozen_string_literal: true

require "tempfile"
require_relative "unit_helper"

RSpec.describe Hotswap::CLI do
  include_context "with hotswap in this process"

  before(:context) { @server = ItemsServer.start }
  after(:context) { @server&.tear_down }

  attr_reader :server

  let(:stdout) { StringIO.new }
  let(:stderr) { StringIO.new }

  def run(*arguments, stdin: StringIO.new, **streams)
    described_class.run(arguments, stdin: stdin, stdout: stdout, stderr: stderr, **streams)
  end

  def cp(source, target, **streams) = run("cp", source, target, "--socket", server.socket_path, **streams)

  def new_file(*items) = server.file("new.sqlite3", ItemsServer::SCHEMA, items)

  it "prints the version" do
    expect([run("version"), stdout.string, stderr.string]).to eq [0, "hotswap #{Hotswap::VERSION}\n", ""]
  end

  it "prints help without arguments" do
    expect(run).to eq 0
    expect(stdout.string).to include("Usage: hotswap", "cp SRC DST", "version")
  end

  it "returns 2 for wrong arguments, and explains them on stderr" do
    expect(run("mv", "a", "b")).to eq 2
    expect([stdout.string, stderr.string]).to match ["", /\AERROR: .*'mv'.*^  cp SRC DST /m]
  end

  it "accepts arguments that are not strings" do
    expect(run(:cp, Pathname("a"), :b, "--socket", folder.join("none.sock"))).to eq 1
    expect(stderr.string).to include("ERROR: socket not found at #{folder.join("none.sock")}")
  end

  it "refuses a single string, and shows how to pass arguments" do
    expect { described_class.run("cp database x") }
      .to raise_error(ArgumentError, /\["cp", "database", "backup.sqlite3"\].* not "cp database x"/)
  end

  it "neither ends the process nor changes its signal handlers" do
    handler = proc {}
    before = trap("INT", handler)
    run("cp", "a", "b", "--socket", "/none.sock")
    expect(trap("INT", before)).to be handler
  end

  it "pushes from a StringIO" do
    expect(cp("-", "database", stdin: StringIO.new(File.binread(new_file("from a StringIO"))))).to eq 0
    expect([stdout.string, stderr.string]).to match ["OK\n", HotswapCommand::SWAPPED]
    expect(server.version).to eq "from a StringIO"
  end

  it "pushes from a pipe that another thread fills" do
    reader, writer = IO.pipe(binmode: true)
    feeding = Thread.new do
      IO.copy_stream(new_file("from a pipe"), writer)
      writer.close
    end

    expect(cp("-", "database", stdin: reader)).to eq 0
    expect(server.version).to eq "from a pipe"
    feeding.join
    expect(reader).not_to be_closed
  end

  it "pushes a file" do
    expect(cp(new_file("from a file"), "database")).to eq 0
    expect(server.version).to eq "from a file"
  end

  it "pulls into a StringIO, which then contains only the database" do
    expect(cp("database", "-")).to eq 0

    folder.join("pulled.sqlite3").binwrite(stdout.string)
    expect(TestDatabase.integrity(folder.join("pulled.sqlite3"))).to eq "ok"
    expect(TestDatabase.content(folder.join("pulled.sqlite3"))).to eq TestDatabase.content(server.database_path)
    expect(stderr.string).to match HotswapCommand::STREAMED
  end

  it "pulls into an open file, and leaves it open" do
    Tempfile.create("pulled") do |file|
      file.binmode
      expect(cp("database", "-", stdout: file)).to eq 0

      expect(file).not_to be_closed
      expect(TestDatabase.integrity(file.path)).to eq "ok"
    end
  end

  it "keeps the order of what was written to an IO before" do
    reader, writer = IO.pipe
    writer.sync = false
    writer.write("before ")
    run("version", stdout: writer)
    writer.close

    expect(reader.read).to eq "before hotswap #{Hotswap::VERSION}\n"
  end

  it "refuses a bad file with 3, with the same message as the command" do
    expect(cp("-", "database", stdin: StringIO.new("no database" * 1000))).to eq 3
    expect([stdout.string, stderr.string]).to match ["", /\AERROR: /]
  end

  it "blocks neither other threads nor other commands" do
    ticks = Queue.new
    ticker = Thread.new { loop { ticks << Thread.pass } }
    codes = Array.new(4) do
      Thread.new do
        described_class.run(["cp", "database", "-", "--socket", server.socket_path],
          stdin: StringIO.new, stdout: StringIO.new, stderr: StringIO.new)
      end
    end

    expect(codes.map(&:value)).to eq [0, 0, 0, 0]
    expect(ticks).not_to be_empty
    ticker.kill.join
  end

  it "does not block the other fibers of a reactor" do
    events = []
    Reactor.run do
      Fiber.schedule { events << cp("database", "-") }
      Fiber.schedule { sleep 0.001 and events << :elsewhere }
    end

    expect(events).to eq [:elsewhere, 0]
  end

  it "leaves no descriptor and no thread" do
    run("version")
    # Otherwise the garbage collector may close a file of an earlier example meanwhile.
    GC.start
    count = -> { [Dir.children("/proc/self/fd").size, Thread.list.size] }
    before = count.call
    3.times { run("version") }

    # The native thread may close its end of a pipe a moment after it said that it is done.
    eventually { expect(count.call).to eq before }
  end
end
