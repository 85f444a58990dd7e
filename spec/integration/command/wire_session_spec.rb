# frozen_string_literal: true

require "hotswap/version"

RSpec.describe "a session on the wire", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:incoming) { app.file("files/incoming.sqlite3", ItemsServer::SCHEMA, %w[incoming]) }
  let(:data) { File.binread(incoming) }

  # The server's answer to a push or pull that the block carries out by hand.
  def outcome_of(src, dst, plan)
    untouched(within: 5) do
      RawSession.open(app) do |session|
        expect(session.request(src, dst)).to eq("plan" => plan)
        yield session.main
        session.outcome
      end
    end
  end

  def pushed_stream(&block) = outcome_of("-", "database", "send_stream", &block)

  def pushed_file(length, file = File.open(incoming), sidecars: [])
    outcome_of("incoming.sqlite3", "database", "send_file") { |main| main.message_with(file, {file: {length: length, sidecars: sidecars}}) }
  ensure
    file.close
  end

  after do
    eventually { app.process.members == [app.pid] }
    expect(app.hotswap("cp", incoming, "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "incoming"
  end

  # body.rs, `BodyReader::end`. One bit that flips in there is refused in the test next to it.
  it "refuses data that was changed on the way, and names both lengths and checksums" do
    status, why = pushed_stream do |main|
      main.frame(RawClient::BODY, data)
      main.frame(RawClient::END_OF_BODY, {length: data.bytesize, checksum: 1}.to_json)
    end

    expect(status).to eq 3
    expect(why).to match(/damaged in transit: #{data.bytesize} bytes with checksum 0{15}1 were sent, #{data.bytesize} bytes with \h{16} arrived. Try again/)
  end

  it "refuses data that was cut short" do
    status, why = pushed_stream do |main|
      main.frame(RawClient::BODY, data[0, 4096])
      main.frame(RawClient::END_OF_BODY, {length: data.bytesize, checksum: 1}.to_json)
    end

    expect(status).to eq 3
    expect(why).to match(/#{data.bytesize} bytes .* were sent, 4096 bytes .* arrived/)
  end

  it "does not take the end of the connection for the end of the data" do
    log = app.log.length
    untouched(within: 5) do
      RawSession.open(app) do |session|
        session.request("-", "database")
        session.main.frame(RawClient::BODY, data)
      end
      eventually { app.log[log..].include?("command failed: the sender ended before all data had arrived") }
    end
    expect(app.log[log..]).not_to include("received")
  end

  {
    "4 GB at once" => ->(main) { main.frame(RawClient::BODY, "", length: 0xffffffff) },
    "an invalid end" => ->(main) { main.frame(RawClient::END_OF_BODY, "soon") },
    "an unknown kind of frame" => ->(main) { main.frame(77, "what is that") },
    "another message" => ->(main) { main.message("target") }
  }.each do |what, break_it|
    it "ends if the sender of data sends #{what}" do
      status, why = pushed_stream do |main|
        main.frame(RawClient::BODY, data)
        break_it.call(main)
      end

      expect(status).to eq 5
      expect(why).not_to be_empty
    end
  end

  it "refuses a file that has another length than announced" do
    expect(pushed_file(data.bytesize + 1)).to match [3, /changed the source while it was being copied/]
    expect(pushed_file(data.bytesize - 1)).to match [3, /changed the source while it was being copied/]
  end

  it "refuses a descriptor that is not a readable file" do
    reader, writer = IO.pipe
    expect(pushed_file(10, reader)).to match [2, /is a pipe/]
    writer.close
    expect(pushed_file(10, File.open("/dev/zero"))).to match [2, /not a regular file/]
    expect(pushed_file(data.bytesize, File.open(incoming, "a"))).to match [5, /the source cannot be used with the rights/]
    expect(pushed_file(data.bytesize, File.open(app.root))).to match [2, /is a folder/]
  end

  # source.rs, `Source::take`.
  it "refuses any descriptor of the live database" do
    expect(pushed_file(File.size(app.database_path), File.open(app.database_path))).to match [2, /are the same file/]
  end

  it "fails if a descriptor is missing" do
    status, why = outcome_of("incoming.sqlite3", "database", "send_file") { |main| main.message(file: {length: 10, sidecars: []}) }
    expect([status, why]).to match [5, /came without the source/]

    expect(pushed_file(data.bytesize, sidecars: ["wal"])).to match [5, /came without the source/]
  end

  it "writes a pull only into a new regular file" do
    full = app.root.join("full").tap { |file| file.write("of something else") }
    [File.open(full, "r+"), File.open(File::NULL, "w"), File.open(app.database_path, "r+")].each do |file|
      expect(outcome_of("database", "backup", "receive_file") { |main| main.message_with(file, "target") }).to match [5, /not a new, regular file/]
    ensure
      file.close
    end
    expect(full.read).to eq "of something else"
  end
end

RSpec.describe "a command and a server of another version", lane: "default" do
  # An application that has loaded another version of the gem, as far as its greeting tells.
  def server_that_answers(answer)
    Dir.mktmpdir("hs") do |folder|
      path = File.join(folder, "other.sock")
      UNIXServer.open(path) do |server|
        greeting = Thread.new do
          client = server.accept
          client.readpartial(1_000)
          payload = JSON.generate(answer)
          client.write([1, payload.bytesize].pack("CN") + payload)
          client.read
          client.close
        end
        return HotswapCommand.run("cp", "database", "-", "--socket", path, chdir: folder)
      ensure
        greeting.kill
      end
    end
  end

  it "report both versions and what to do if their protocols differ" do
    told = server_that_answers(welcome: {protocol: 2, version: "9.9.9", session: "0", stderr_socket: "/nowhere"})

    expect(told).to have_attributes(exit_code: 1, stdout: "")
    expect(told.stderr).to start_with("ERROR: ").and include("hotswap #{Hotswap::VERSION}", "hotswap 9.9.9", "Restart the application")
  end

  it "report why the server rejects the command" do
    told = server_that_answers(rejected: {why: "restart the application, or use the command of its version"})

    expect(told).to have_attributes(exit_code: 1, stdout: "", stderr: "ERROR: restart the application, or use the command of its version\n")
  end
end
