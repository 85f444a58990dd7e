# frozen_string_literal: true

require "socket"

RSpec.describe "a push of standard input", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  def incoming(name) = app.file("files/#{name}.sqlite3", ItemsServer::SCHEMA, [name])

  def push(stdin) = app.hotswap("cp", "-", "database", in: stdin)

  it "that is a file copies it, and does not move its position" do
    File.open(incoming("whole")) do |file|
      expect(push(file)).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(file.sysseek(0, IO::SEEK_CUR)).to eq 0
    end
    expect(app.version).to eq "whole"
  end

  it "that is a partly read file begins at its position" do
    path = app.root.join("files/after-a-line").to_s
    File.binwrite(path, "a line\n#{File.binread(incoming("rest"))}")
    File.open(path) do |file|
      file.sysread(7)
      expect(push(file)).to have_attributes(exit_code: 0, stdout: "OK\n")
    end
    expect(app.version).to eq "rest"
  end

  it "that is a pipe or a socket reads to its end" do
    %i[pipe socket].each do |kind|
      reader, writer = (kind == :pipe) ? IO.pipe : UNIXSocket.pair
      sender = Thread.new { writer.binmode.write(File.binread(incoming(kind.to_s))) && writer.close }

      expect(push(reader)).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq kind.to_s
      sender.join
    ensure
      reader.close
    end
  end

  # source.rs, `Source::take`.
  it "that is the live database itself is refused" do
    untouched { expect(push(app.database_path)).to have_attributes(exit_code: 2, stderr: /\AERROR: source and destination are the same file/) }
  end
end
