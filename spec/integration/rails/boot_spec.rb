# frozen_string_literal: true

RSpec.describe "an application that boots" do
  def pull = app.hotswap("cp", "database", "backup.sqlite3")

  # `bin/rails server` instead of `puma`.
  rails_server = Class.new(AppServer) do
    private

    def command = [*Project::RUBY, "bin/rails", "server", "--binding", "127.0.0.1", "--port", port.to_s]
  end

  # Without the right to write where it may not, which root has otherwise.
  humble = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
  humble = [] unless Process.uid.zero?
  humble_server = Class.new(AppServer) do
    private

    define_method(:command) { [*humble, *super()] }
  end

  attr_reader :app

  def boot(server = AppServer, **options, &block) = @app = keep(server.start(**options, &block))

  it "serves hotswap when Puma boots it" do
    boot

    expect(File.stat(app.socket_path)).to be_socket
    expect(File.stat(app.stderr_socket_path)).to be_socket
    expect(pull).to have_attributes(exit_code: 0)
  end

  it "serves hotswap when bin/rails server boots it" do
    boot(rails_server)

    expect(pull).to have_attributes(exit_code: 0)
    expect(TestDatabase.integrity(app.root.join("backup.sqlite3"))).to eq "ok"
  end

  it "serves hotswap in development, where code is loaded on demand" do
    boot(env: {RAILS_ENV: "development", RACK_ENV: "development"}) do |server|
      server.root.glob("storage/production*").each { |file| file.rename(file.sub("production", "development")) }
    end
    pushed = app.hotswap("cp", app.databases.release("new"), "storage/development.sqlite3")

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "new"
  end

  it "serves hotswap at the configured sockets" do
    boot(initializer: <<~RUBY)
      Rails.application.config.hotswap.socket_path = "tmp/pids/my.sock"
      Rails.application.config.hotswap.stderr_socket_path = Rails.root.join("tmp/another/place.sock")
    RUBY

    expect(app.hotswap("cp", "database", "backup.sqlite3", "--socket", "tmp/pids/my.sock")).to have_attributes(exit_code: 0)
    expect(File.stat(app.root.join("tmp/another/place.sock"))).to be_socket
    expect(pull).to have_attributes(exit_code: 1)
  end

  {"the socket" => "tmp/sockets/hotswap.sock", "the stderr socket" => "tmp/sockets/hotswap.stderr.sock"}.each do |which, path|
    it "serves its visitors if a file is in the place of #{which}, and keeps that file" do
      boot { |server| server.write(path, "another file") }

      expect(app.get("/version").status).to eq 200
      eventually { app.log.match?(/hotswap is not available: #{app.root.join(path)} exists and is not a socket\. .*config\.hotswap\./) }
      expect(pull).to have_attributes(exit_code: 1)
      app.stop
      expect(app.root.join(path).read).to eq "another file"
      app.root.join(path).delete
    end
  end

  it "serves its visitors if the folder of the sockets is a file" do
    boot { |server| server.write("tmp/sockets", "another file") }

    expect(app.get("/version").status).to eq 200
    eventually { app.log.match?(%r{hotswap is not available: .*#{app.root}/tmp/sockets}) }
    expect(app.root.join("tmp/sockets").read).to eq "another file"
  end

  it "serves its visitors if the folder of the sockets is not writable" do
    skip "setpriv cannot take root's rights away here" unless humble.empty? || system(*humble, "true", err: File::NULL)
    boot(humble_server) { |server| server.root.join("tmp/sockets").tap(&:mkpath).chmod(0o555) }

    expect(app.get("/version").status).to eq 200
    eventually { app.log.match?(%r{hotswap is not available: cannot .*#{app.root}/tmp/sockets.*: Permission denied}) }
  end

  it "serves its visitors if there is no database to manage" do
    boot(initializer: "Rails.application.config.after_initialize { Hotswap.databases.clear }")

    expect(app.get("/version").status).to eq 200
    expect(app.log).to include("hotswap is not available: found no database to manage")
    expect(File).not_to exist(app.socket_path)
  end
end
