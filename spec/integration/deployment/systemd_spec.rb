# frozen_string_literal: true

require "open3"
require "shellwords"
require "socket"

RSpec.describe "the systemd unit of docs/deployment.md", :slow, lane: "default" do
  unit = Project::ROOT.join("docs/deployment.md").read[/^## systemd\n(.*?)(?=^## |\z)/m, 1]
    .lines.grep(/\A {4}/).map { |line| line.delete_prefix("    ") }.join
  setting = ->(name) { unit[/^#{name}=(.*)/, 1] }

  it "passes systemd-analyze verify, which fails for a wrong unit" do
    skip "systemd-analyze is not here (Debian: the package systemd)" unless system("systemd-analyze", "--version", out: File::NULL, err: File::NULL)

    verify = lambda do |text|
      Dir.mktmpdir("hs") do |folder|
        file = File.join(folder, "app.service").tap { |path| File.write(path, text) }
        said, status = Open3.capture2e("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file)
        [status.exitstatus, said]
      end
    end
    expect(verify.call(unit)).to eq [0, ""]
    expect(verify.call(unit.sub("ReadWritePaths", "ReadWritePath")).last).to include("ReadWritePath")
  end

  # Starts the application as systemd does: with the unit's command and environment, and waits until it reports that it
  # is ready.
  by_the_unit = Class.new(AppServer) do
    attr_reader :said

    def answers? = hear.include?("READY=1")

    # The process's messages to systemd since the last `forget`.
    def hear
      loop { @said << @ear.recv_nonblock(4096) }
    rescue IO::WaitReadable
      @said.join("\n").lines.map(&:chomp)
    end

    def forget = @said = []

    def tear_down
      super
    ensure
      @ear.close
    end

    private

    define_method(:command) { Shellwords.split(setting.call("ExecStart")) }

    def prepare
      super
      forget
      @ear = Socket.new(:UNIX, :DGRAM).tap { |socket| socket.bind(Addrinfo.unix(root.join("notify").to_s)) }
    end

    define_method(:environment) do
      super().merge("NOTIFY_SOCKET" => root.join("notify").to_s, **Shellwords.split(setting.call("Environment")).to_h { |word| word.split("=", 2) })
    end
  end

  it "serves the command when it is ready, reloads in place, and removes the files of an interrupted command at its next start" do
    app = keep(by_the_unit.start(workers: 2))
    expect(app.hotswap("cp", app.databases.release("first"), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "first"

    app.forget
    old = app.worker_pids
    expect(system(*Shellwords.split(setting.call("ExecReload").sub("$MAINPID", app.pid.to_s)))).to be true
    app.end_workers(old)
    eventually(PumaServer::BOOT_TIMEOUT) { %w[RELOADING=1 READY=1].all? { |word| app.hear.include?(word) } }
    expect(app.process).to be_alive
    expect(app.hotswap("cp", app.databases.release("second"), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "second"

    push = FedCommand.start(app, "cp", "-", "database")
    push.write(File.binread(app.databases.release("third"))[0, 50_000])
    eventually { app.stray_files.any? }
    # As with KillMode=mixed: SIGTERM for the main process, and SIGKILL for the remaining processes when it has ended.
    expect(setting.call("KillMode")).to eq "mixed"
    app.stop
    app.kill
    expect(push.wait).to have_attributes(exit_code: 5, stderr: /\AERROR: /)
    expect(TestDatabase.version(app.database_path)).to eq "second"

    app.forget
    app.boot
    eventually { expect(app.stray_files).to eq [] }
    expect(app.version).to eq "second"
  end
end
