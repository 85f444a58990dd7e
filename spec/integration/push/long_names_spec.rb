# frozen_string_literal: true

require "socket"

RSpec.describe "long names", lane: "default" do
  # SQLite needs eight of the 255 bytes that a name may have, for "-journal".
  databases = [58, 59, 80, 200, 224, 225, 247].to_h { |length| ["a database of #{length} bytes", "#{"n" * (length - 8)}.sqlite3"] }
  databases["a database of 119 letters with two bytes each"] = "#{"é" * 119}.sqlite3"
  live = "storage/#{databases.values.first}"

  config = <<~RUBY
    require "hotswap"
    Hotswap.configure { |config| config.socket_path = ENV["SOCKET"] if ENV["SOCKET"] }
    Dir.glob("storage/*.sqlite3").sort.each { |file| Hotswap.register(file) }
    Hotswap.start
    run lambda { |env|
      file = "storage/\#{env["QUERY_STRING"]}"
      file = Dir.glob("storage/*.sqlite3").max if env["QUERY_STRING"].empty?
      version = SQLite3::Database.new(file) { |db| break db.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }
      [200, {"content-type" => "text/plain"}, [version]]
    }
  RUBY

  with_databases = lambda do |server|
    files = TestDatabase.new(server.root.join("storage").tap(&:mkpath))
    databases.each_value { |name| files.release("old", name: name) }
  end

  running_app(RackServer, database: "storage/app.sqlite3", config: config, &with_databases)

  let(:files) { TestDatabase.new(app.root.join("files").tap(&:mkpath)) }

  databases.each do |what, name|
    it "#{what}: it can be pushed to in both ways and pulled from, and no files are left" do
      {"renamed" => Project.linux? ? "never" : "auto", "in-place" => "always"}.each do |version, choice|
        pushed = app.hotswap("cp", files.release(version), "storage/#{name}", "--in-place=#{choice}")

        expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(TestDatabase.version(app.root.join("storage", name))).to eq version
      end
      expect(app.hotswap("cp", "storage/#{name}", "pulled.sqlite3")).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
      eventually { app.root.glob("storage/.*hotswap*").empty? }
    end
  end

  [247, 248, 255].each do |length|
    it "of a source may have #{length} bytes" do
      source = app.root.join("s" * length).tap { |path| File.rename(files.release("from #{length}"), path) }

      expect(app.hotswap("cp", source, live)).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(TestDatabase.version(app.root.join(live))).to eq "from #{length}"
    end

    it "of a target may have #{length} bytes" do
      pulled = app.hotswap("cp", live, "p" * length)

      expect(pulled).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
      File.rename(app.root.join("p" * length), app.root.join("pulled.sqlite3"))
      expect(TestDatabase.integrity(app.root.join("pulled.sqlite3"))).to eq "ok"
    end
  end

  it "of a socket may have 200 bytes, in a deep folder" do
    socket = "tmp/#{"down/" * 30}#{"s" * 195}.sock"
    server = boot_rack(config, database: "storage/app.sqlite3", env: {"SOCKET" => socket}, &with_databases)
    eventually { server.root.join(socket).socket? }

    expect(server.hotswap("cp", live, "pulled.sqlite3", "--socket", socket)).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
  end
end
