# frozen_string_literal: true

require "etc"
require "open3"
require "rbconfig"
require "socket"
require_relative "eventually"
require_relative "server_process"

# A real sshd for the user who runs the specs, who finds themselves in `home`; and `ssh` in the path of `environment`,
# for which every host is this one.
class SshServer
  include Eventually

  # Where the program that root runs puts itself at rest.
  RESTING_PLACE = "/run/sshd"

  # Why there is none, or nil.
  def self.missing
    return "ssh is not here" unless Project.program("ssh") && Project.program("ssh-keygen")
    return "sshd is not here (Debian: the package openssh-server)" unless program
    nil
  end

  def self.program = Project.program("sshd")

  def initialize(folder, home:)
    @folder = Pathname(folder).tap(&:mkpath)
    @reserved = ReservedPort.new
    @port = @reserved.number
    %w[host_key key].each { |name| keygen(name) }
    FileUtils.cp(@folder.join("key.pub"), @folder.join("authorized_keys"))
    @made = Process.uid.zero? && !File.exist?(RESTING_PLACE) && Dir.mkdir(RESTING_PLACE, 0o755)
    configure(home)
    @process = ServerProcess.start({}, self.class.program, "-D", "-e", "-f", @folder.join("sshd_config").to_s, chdir: "/", output: @folder.join("log"))
    eventually { listening? || (!@process.alive? && raise("sshd ended: #{log}")) }
  end

  # Whether it lets this user in. An account that is locked it does not.
  def lets_in? = Open3.capture2e(environment, "ssh", "server", "true").last.success?

  def environment = {"PATH" => "#{@folder.join("bin")}:#{ENV.fetch("PATH")}"}

  def log = @folder.join("log").read

  def stop
    @process&.stop
    @reserved.release
    Dir.rmdir(RESTING_PLACE) if @made
  end

  private

  def keygen(name) = system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", @folder.join(name).to_s, exception: true)

  def configure(home)
    @folder.join("sshd_config").write(<<~TEXT)
      Port #{@port}
      ListenAddress 127.0.0.1
      HostKey #{@folder.join("host_key")}
      AuthorizedKeysFile #{@folder.join("authorized_keys")}
      StrictModes no
      PermitRootLogin yes
      PidFile none
      ForceCommand cd #{home} && PATH=#{File.dirname(RbConfig.ruby)}:$PATH exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"
    TEXT
    @folder.join("ssh_config").write(<<~TEXT)
      Host *
        HostName 127.0.0.1
        Port #{@port}
        User #{Etc.getpwuid.name}
        IdentityFile #{@folder.join("key")}
        IdentitiesOnly yes
        BatchMode yes
        StrictHostKeyChecking no
        UserKnownHostsFile /dev/null
        LogLevel ERROR
    TEXT
    @folder.join("bin").mkpath
    @folder.join("bin/ssh").write("#!/bin/sh\nexec #{Project.program("ssh")} -F #{@folder.join("ssh_config")} \"$@\"\n")
    @folder.join("bin/ssh").chmod(0o755)
  end

  def listening?
    TCPSocket.new("127.0.0.1", @port).close
    true
  rescue Errno::ECONNREFUSED
    false
  end
end
