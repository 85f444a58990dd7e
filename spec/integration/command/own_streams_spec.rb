# frozen_string_literal: true

require "tmpdir"
require "zlib"
require_relative "../../support/items_server"
require_relative "support/obedient_program"

# What a program's own streams, threads and children must not change about its copies.
RSpec.describe "a program that copies", lane: "default" do
  around { |example| Dir.mktmpdir("hs") { |folder| (@folder = Pathname(folder).realpath) && example.run } }

  before do
    %w[app new].each do |name|
      SQLite3::Database.new(@folder.join("#{name}.sqlite3").to_s) do |db|
        db.execute_batch("#{ItemsServer::SCHEMA}; INSERT INTO items (name) VALUES ('#{name}')")
      end
    end
  end

  let(:program) { ObedientProgram.new(@folder) }

  it "writes through a stream that has a file below it, and reads through one" do
    program.tell(%(require "zlib"; Zlib::GzipWriter.open("backup.gz") { |stream| Hotswap.pull(to: stream) }.bytes))
    content = Zlib::GzipReader.open(@folder.join("backup.gz").to_s, &:read)
    expect(content).to start_with "SQLite format 3"

    Zlib::GzipWriter.open(@folder.join("new.gz").to_s) { |stream| stream.write(@folder.join("new.sqlite3").binread) }
    program.tell(%(Zlib::GzipReader.open("new.gz") { |stream| Hotswap.push(stream) }.bytes))
    expect(program.tell("names")).to eq "new"
  end

  it "does not wait for a child that was forked meanwhile" do
    program.tell(<<~RUBY.tr("\n", ";"))
      CHILDREN = []
      def child = CHILDREN << fork { sleep 30 }
      Source = Struct.new(:file) { def read(length) = (child if CHILDREN.empty?; file.read(length)) }
      Target = Class.new(StringIO) { def write(bytes) = (child if CHILDREN.size < 2; super) }
      1
    RUBY
    pushing = %(Timeout.timeout(20) { Hotswap.push(Source.new(File.open("new.sqlite3"))) }.bytes)
    expect(program.tell(%(require "timeout"; #{pushing}))).to be > 0
    expect(program.tell("Timeout.timeout(20) { Hotswap.pull(to: Target.new) }.bytes")).to be > 0
    expect(program.tell("CHILDREN.each { |pid| Process.kill(:KILL, pid) }.size")).to eq 2
  end

  # A child gets a copy of every descriptor that its parent has open at the moment of the fork.
  it "does not wait for the children that another thread keeps forking" do
    program.tell("CHILDREN = []; Thread.new { CHILDREN << fork { sleep 30 } while CHILDREN.size < 200 && sleep(0.005) }; 1")
    copies = "Hotswap.push(StringIO.new(new)); Hotswap.pull(to: (pulled = StringIO.new)); pulled.string.bytesize"
    pulled = program.tell(%(require "timeout"; new = File.binread("new.sqlite3"); Array.new(10) { Timeout.timeout(20) { #{copies} } }))
    expect(pulled).to all eq(@folder.join("new.sqlite3").size)
    program.tell("CHILDREN.each { |pid| Process.kill(:KILL, pid) }.size")
  end

  it "succeeds although its standard output does not take the OK" do
    program.tell(%(BROKEN = StringIO.new.tap { |io| def io.write(*) = raise("no") }; 1))
    code = %(Hotswap::CLI.run(%w[cp new.sqlite3 database], stdin: StringIO.new, stdout: BROKEN, stderr: StringIO.new))
    expect(program.tell(code)).to eq 0
    expect(program.tell("names")).to eq "new"
    expect(program.tell("begin; Hotswap.pull(to: BROKEN); rescue => error; error.message; end")).to eq "no"
  end

  it "fails if its standard output raises the exception of an end, or takes nothing" do
    program.tell(<<~RUBY.tr("\n", ";"))
      ENDING = StringIO.new.tap { |io| def io.write(*) = raise(EOFError, "full") }
      FULL = StringIO.new.tap { |io| def io.write(*) = 0 }
      def message = (yield; "none") rescue $!.message
      1
    RUBY
    expect(program.tell("[ENDING, FULL].map { |io| message { Hotswap.pull(to: io) } }")).to eq ["full", "StringIO#write took nothing"]
  end

  it "takes a standard output whose flush returns something else" do
    program.tell(%(OUT = File.open("out", "w").tap { |file| def file.flush = (super; nil) }; 1))
    expect(program.tell("Hotswap::CLI.run(%w[cp new.sqlite3 database], stdin: StringIO.new, stdout: OUT, stderr: StringIO.new)")).to eq 0
  end

  it "is refused at once in a transaction of its own, which the push would wait for" do
    program.tell(%(require "active_record"; ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: File.expand_path("app.sqlite3")); 1))
    answer = program.tell(<<~RUBY.tr("\n", ";"))
      ActiveRecord::Base.transaction do
        ActiveRecord::Base.connection.execute("INSERT INTO items (name) VALUES ('mine')")
        [hotswap("cp", "new.sqlite3", "database"), hotswap("cp", "database", "pulled.sqlite3").first]
      end
    RUBY
    expect(answer).to match [[3, "", /\AERROR: this thread has a transaction open on app\.sqlite3/], 0]
    expect(program.tell("names")).to eq "app mine"
  end
end
