# frozen_string_literal: true

require "hotswap/version"
require "securerandom"

RSpec.describe "a client that violates the protocol", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:incoming) { app.file("files/incoming.sqlite3", ItemsServer::SCHEMA, %w[incoming]) }

  def expect_good_service
    item = SecureRandom.hex(4)
    pushed = app.hotswap("cp", app.file("files/good.sqlite3", ItemsServer::SCHEMA, [item]), "database")

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq item
    expect(app.stray_files).to eq []
    eventually { app.process.members == [app.pid] }
  end

  def memory = File.read("/proc/#{app.pid}/status")[/VmRSS:\s+(\d+) kB/, 1].to_i * 1024

  framed = ->(kind, payload) { [kind, payload.bytesize].pack("CN") + payload }

  {
    "an HTTP request" => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "noise" => Random.new(1).bytes(100_000),
    "zeros" => "\0" * 1_000,
    "a message that is not JSON" => framed.call(1, "not JSON"),
    "an unknown message" => framed.call(1, '{"sing":"la"}'),
    "a message out of turn" => framed.call(1, '{"done":{"code":0}}'),
    "data instead of a greeting" => framed.call(2, "data"),
    "a greeting that is too long" => framed.call(1, %({"hello":{"protocol":1,"version":"#{"x" * 100_000}"}})),
    "a header that announces 4 GB" => [1, 0xffffffff].pack("CN"),
    "a header that announces 4 GB of data" => [2, 0xffffffff].pack("CN") + "x" * 10_000
  }.each do |what, bytes|
    it "is disconnected if it sends #{what} on either socket" do
      untouched do
        RawClient.open(app.socket_path) do |client|
          client.write(bytes)
          answer = client.receive
          expect(answer).to be_nil.or match("rejected" => {"why" => a_kind_of(String)})
          expect(client.receive).to be_nil
        end
        RawClient.open(app.stderr_socket_path) do |client|
          client.write(bytes)
          expect(client.receive).to be_nil
        end
      end
      expect_good_service
    end
  end

  it "costs the application no memory by announcing a large frame" do
    before = memory
    clients = Array.new(50) { RawClient.open(app.socket_path).tap { |client| client.write([1, 0xffffffff].pack("CN")) } }
    clients.each { |client| nil while client.receive }

    expect(memory - before).to be < 20_000_000
    expect_good_service
  ensure
    clients.each(&:close)
  end

  it "learns both versions if it speaks another protocol" do
    RawClient.open(app.socket_path) do |client|
      client.message(hello: {protocol: 2, version: "9.9.9"})
      why = client.receive.fetch("rejected").fetch("why")

      expect(why).to include("hotswap 9.9.9", "hotswap #{Hotswap::VERSION}", "Restart the application")
      expect(client.receive).to be_nil
    end
    expect_good_service
  end

  it "gets no session with a wrong token" do
    RawClient.open(app.stderr_socket_path) do |client|
      client.message(join: {session: "0" * 32})
      expect(client.receive).to be_nil
    end
    expect_good_service
  end

  it "does no harm by disconnecting in the middle of a message" do
    untouched(within: 5) do
      RawClient.open(app.socket_path, &:close)
      RawClient.open(app.socket_path) { |client| client.write("\1\0") }
      RawClient.open(app.socket_path) { |client| client.frame(1, '{"hel', length: 100) }
      RawClient.open(app.socket_path) { |client| client.message(hello: {protocol: 1, version: "x"}) && client.receive }
      RawSession.open(app) { |session| session.main.frame(1, '{"requ', length: 100) }
      RawSession.open(app) { |session| session.request("-", "database") }
      RawSession.open(app) { |session| session.request("-", "database") && session.main.frame(2, "half", length: 1_000) }
      RawSession.open(app) { |session| session.request("-", "database") && session.main.frame(2, File.binread(incoming)) }
      RawSession.open(app) { |session| session.request("database", "-") }
      RawSession.open(app) { |session| session.request("database", "file") }
      eventually { app.process.members == [app.pid] }
    end
    expect_good_service
  end

  it "does not hold up other clients by being silent" do
    silent = [app.socket_path, app.stderr_socket_path].flat_map { |path| Array.new(10) { RawClient.open(path) } }
    asked = RawClient.open(app.socket_path).tap { |client| client.message(hello: {protocol: 1, version: "x"}) }
    waiting = RawSession.new(app).tap { |session| session.request("-", "database") }

    expect_pull_works
  ensure
    [*silent, asked, waiting].each(&:close)
    expect_good_service
  end

  def expect_pull_works = expect(app.hotswap("cp", "database", "-")).to have_attributes(exit_code: 0, stdout: /\ASQLite format 3\0/n)

  # accept.rs, `timeout` in `receive`: for all of a greeting together, and not for each byte of it.
  it "is disconnected after a while of silence, or of single bytes", :slow do
    drips = [app.socket_path, app.stderr_socket_path].map { |path| RawClient.open(path) }
    dripping = drips.map { |client| Thread.new { [1, 1_000].pack("CN").each_char.cycle { |byte| client.write(byte) ? sleep(0.4) : break } } }
    clients = {main: RawClient.open(app.socket_path), stderr: RawClient.open(app.stderr_socket_path), unjoined: RawClient.open(app.socket_path)}
    clients[:unjoined].message(hello: {protocol: 1, version: "x"})
    clients[:unjoined].receive

    expect(clients[:main].receive.dig("rejected", "why")).to include("took too long")
    expect(clients[:stderr].receive).to be_nil
    expect(clients[:unjoined].receive.dig("rejected", "why")).to include("no second connection on its stderr socket")
    eventually { dripping.none?(&:alive?) }
    expect_good_service
  ensure
    dripping.each(&:kill)
    [*drips, *clients.each_value].each(&:close)
  end

  # accept.rs, `admit`.
  it "is refused if too many are connected" do
    crowd = Array.new(64) { RawClient.open(app.socket_path) }

    eventually do
      expect(app.hotswap("cp", "database", "-")).to have_attributes(exit_code: 1, stdout: "", stderr: /\AERROR: the server already has 64 clients\. Try again/)
    end
  ensure
    crowd.each(&:close)
    eventually { app.hotswap("cp", "database", "-").success? }
    expect_good_service
  end
end
