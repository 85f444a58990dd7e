# frozen_string_literal: true

require "socket"

RSpec.describe "the socket", lane: "default" do
  before(:context) do
    @mark = "of this application only, #{Process.pid}"
    @app = AppServer.start do |app|
      SQLite3::Database.new(app.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (?)", [@mark]) }
      app.write("bin/hotswap", <<~RUBY)
        #!/usr/bin/env ruby
        $LOAD_PATH.unshift #{Project::ROOT.join("lib").to_s.dump}
        load #{Project::ROOT.join("exe/hotswap").to_s.dump}
      RUBY
      app.root.join("bin/hotswap").chmod(0o755)
    end
  end

  after(:context) { @app&.tear_down }

  attr_reader :app

  # As a pull of what only this application has.
  def reach(*arguments, **options)
    pulled = app.hotswap("cp", "primary", "-", *arguments, **options)
    expect(pulled).to have_attributes(exit_code: 0, stderr: HotswapCommand::STREAMED)
    expect(pulled.stdout).to start_with("SQLite format 3\0").and include(@mark)
  end

  let(:program) { [app.root.join("bin/hotswap").to_s] }

  it "is found from the application's folder and from any folder below it" do
    ["", "app", "app/controllers", "storage", "tmp/sockets"].each { |folder| reach(chdir: app.root.join(folder)) }
  end

  it "is found from any folder by the application's bin/hotswap" do
    ["/", Dir.tmpdir].each { |folder| reach(chdir: folder, program: program) }
  end

  it "is found by a relative path to bin/hotswap, and through a link to the application" do
    Dir.mktmpdir("hs") do |folder|
      File.symlink(app.root, File.join(folder, "current"))

      reach(chdir: folder, program: ["current/bin/hotswap"])
      reach(chdir: app.root.join("app"), program: ["../bin/hotswap"])
    end
  end

  it "can be named with --socket, relative to the current folder or absolute" do
    reach("--socket", app.socket_path, chdir: "/")
    reach("--socket", "../tmp/sockets/hotswap.sock", chdir: app.root.join("app"))
  end

  it "can be named with HOTSWAP_SOCKET, but --socket wins" do
    reach(chdir: "/", env: {"HOTSWAP_SOCKET" => app.socket_path})
    reach("--socket", app.socket_path, chdir: "/", env: {"HOTSWAP_SOCKET" => "/nowhere"})
    astray = app.hotswap("cp", "primary", "-", env: {"HOTSWAP_SOCKET" => "/nowhere"})

    expect(astray).to have_attributes(exit_code: 1, stdout: "", stderr: %r{\AERROR: socket not found at /nowhere})
  end

  it "is that of the current application, not that of the bundle" do
    reach(env: {"BUNDLE_GEMFILE" => Project::ROOT.join("Gemfile").to_s})
  end

  it "is open only to the application's user" do
    [app.socket_path, app.stderr_socket_path].each do |socket|
      expect(File.stat(socket)).to have_attributes(socket?: true, owned?: true)
      expect(File.stat(socket).mode & 0o777).to eq 0o600
    end
  end

  def pull_as_another_user
    skip "needs root, to become another user" unless Process.uid.zero?
    File.chmod(0o755, app.root)
    visible = [Project::ROOT, app.root].all? { |folder| system("setpriv", "--reuid", "65534", "--clear-groups", "test", "-x", folder.to_s) }
    skip "another user cannot look into this folder" unless visible

    app.hotswap("cp", "primary", "-", program: %w[setpriv --reuid 65534 --regid 65534 --clear-groups] + HotswapCommand::PROGRAM)
  end

  # leadership.rs, `Door::open`: the mode of the socket.
  it "is closed to other users, who learn whose it is" do
    stranger = pull_as_another_user

    expect(stranger).to have_attributes(exit_code: 1, stdout: "")
    expect(stranger.stderr).to start_with("ERROR: not allowed to use #{app.socket_path}: it belongs to root.").and include("Run this command as the user", "or as root")
  end

  # accept.rs, `admit`.
  it "is closed to other users even if its mode allows them" do
    sockets = [app.socket_path, app.stderr_socket_path]
    File.chmod(0o666, *sockets)

    expect(pull_as_another_user).to have_attributes(exit_code: 1, stdout: "", stderr: /serves that user and root only, not uid 65534/)
  ensure
    File.chmod(0o600, *sockets)
  end
end

RSpec.describe "a server whose socket's path is in use", lane: "default" do
  let(:live) { "storage/production.sqlite3" }

  def put_at_socket(app)
    File.dirname(app.socket_path).then { |folder| FileUtils.mkdir_p(folder) }
    yield app.socket_path
  end

  it "takes over the socket of a dead server" do
    app = boot_app do |booting|
      put_at_socket(booting) { |path| UNIXServer.new(path).close }
      UNIXServer.new(booting.stderr_socket_path).close
    end

    expect(app.hotswap("cp", app.databases.release("v2"), live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "v2"

    app.kill
    expect(File.socket?(app.socket_path)).to be true
    expect(app.hotswap("cp", "primary", "-")).to have_attributes(exit_code: 1, stderr: /\AERROR: no process listens at .* has ended\. Start it, or add --offline/)

    app.boot
    expect(app.hotswap("cp", app.databases.release("v3"), live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "v3"
  end

  it "boots and serves its visitors, and names the server that has the socket" do
    other = nil
    app = boot_app { |booting| put_at_socket(booting) { |path| other = UNIXServer.new(path) } }

    eventually { app.log.include?("hotswap is not available") }
    expect(app.log[/hotswap is not available.*/])
      .to include("another program (process #{Process.pid}) listens at #{app.socket_path}", "config.hotswap.socket_path")
    expect(app.version).to eq "v1"
    other.accept_nonblock(exception: false) # the look that the application took
    UNIXSocket.open(app.socket_path) { |client| expect(client.peeraddr.last).to eq app.socket_path }
    other.accept_nonblock.close # it is still this one that is reached
  ensure
    other&.close
    FileUtils.rm_f(app.socket_path) if app
  end

  it "listens at a path that is too long for a socket address" do
    long = File.join("tmp", "a-folder-with-a-name-that-takes-fifty-letters-of-108" * 2, "hotswap.sock")
    app = boot_app(initializer: "Rails.application.config.hotswap.socket_path = #{long.dump}")
    socket = app.root.join(long)

    expect(socket.to_s.bytesize).to be > 108
    expect(app.hotswap("cp", app.databases.release("v2"), live, "--socket", long)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "v2"
    expect(app.hotswap("cp", live, "-", "--socket", socket).stdout).to start_with("SQLite format 3\0")
    # Puma that had to be killed cleans nothing up.
    expect(socket.dirname.glob("*.sock")).to eq [] if app.stop == :stopped
  end
end

RSpec.describe "a server that restarts in the same process", lane: "default" do
  it "is reported as restarting" do
    config = "sleep 0.01 while File.exist?('hold')\n#{ItemsServer::APPLICATION}"
    server = keep(ItemsServer.new(config: config, database: "storage/app.sqlite3", threads: 1).tap do |items|
      items.file("storage/app.sqlite3", ItemsServer::SCHEMA, %w[old], journal_mode: "wal")
      items.send(:set_up)
    end)
    server.write("hold", "")
    asked = nil
    ask = -> { server.process.signal(:USR2) && asked = Eventually.now }
    pull = -> { server.hotswap("cp", "database", "copy.sqlite3") }
    ask.call
    eventually do
      pulled = pull.call
      # Puma on Ruby 3.3 now and then loses the signal (PumaServer#end_workers).
      ask.call if pulled.exit_code.zero? && Eventually.now - asked > 3
      expect(pulled.stderr).to eq "ERROR: no process listens at #{server.socket_path}: the application is restarting (process #{server.pid}). Try again in a moment\n"
    end

    server.root.join("hold").delete
    eventually { expect(pull.call).to have_attributes(exit_code: 0) }
  end
end
