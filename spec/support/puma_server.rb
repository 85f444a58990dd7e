# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "eventually"
require_relative "hotswap_command"
require_relative "http_calls"
require_relative "reserved_port"
require_relative "server_process"

# An application served by a real Puma from a short temporary folder. What a subclass adds: `prepare`, which
# fills the folder, `command`, and `environment`.
class PumaServer
  include HttpCalls
  include Eventually

  class Trouble < StandardError; end

  BOOT_TIMEOUT = 60

  attr_reader :root, :port, :process

  def self.running = (@@running ||= [])

  # The block gets the server before it boots, to change files in its folder.
  def self.start(**options, &block) = new(**options).tap { |server| server.send(:set_up, &block) }

  def initialize(env: {}, hotswap: HotswapCommand::PROGRAM)
    @env = env.transform_keys(&:to_s).transform_values(&:to_s)
    @program = hotswap
    # Room for the sockets below it: a Unix socket's path has 107 bytes.
    @root = Pathname(Dir.mktmpdir("hs"))
  end

  def boot
    @reserved&.release
    @port = (@reserved = ReservedPort.new).number
    @process = ServerProcess.start(environment, *command, chdir: root.to_s, output: output)
    PumaServer.running << self unless PumaServer.running.include?(self)
    eventually(BOOT_TIMEOUT, every: 0.05) { !process.alive? || answers? }
    raise Trouble, "the server ended while it booted:\n#{log_tail}" unless process.alive?
    self
  rescue TooLate
    kill
    raise Trouble, "the server did not answer within #{BOOT_TIMEOUT} s:\n#{log_tail}"
  end

  def hotswap(*arguments, timeout: 60, **options) = start_hotswap(*arguments, **options).wait(timeout)

  # For a spec that does something while the command runs.
  def start_hotswap(*arguments, chdir: root, **options)
    HotswapCommand.start(*arguments, chdir: chdir, program: @program, **options)
  end

  def write(path, text)
    root.join(path).tap { |file| file.dirname.mkpath }.write(text)
  end

  def socket_path = root.join("tmp/sockets/hotswap.sock").to_s

  def stderr_socket_path = root.join("tmp/sockets/hotswap.stderr.sock").to_s

  def log = output.exist? ? output.read(encoding: Encoding::UTF_8).scrub : ""

  def log_tail(lines = 60) = log.lines.last(lines).join

  # The master first, then its children.
  def pids = [process.pid] | process.members

  def pid = process.pid

  # The workers of a cluster.
  def worker_pids = process.members.select { |pid| ServerProcess.command_line(pid).start_with?("puma: cluster worker") }

  # Returns when these workers have ended. On Ruby 3.3 a Puma worker that is to end now and then hangs, with or without
  # this gem, until Puma kills it after 30 s: its trap handler writes into the pipe that the server's thread closes
  # meanwhile, and waking the thread that closes takes a mutex, which no trap handler may.
  def end_workers(pids)
    eventually { (worker_pids & pids).empty? }
  rescue TooLate
    (worker_pids & pids).each { |pid| Process.kill(:KILL, pid) }
  end

  def stop = @ended = process.stop

  def kill = @ended = process&.kill

  def restart
    stop
    boot
  end

  # Ends the server and proves that it left nothing behind.
  def tear_down
    stop if process&.alive?
    left = leftovers
    raise Trouble, "the server left behind: #{left.join(", ")}\n#{log_tail}" unless left.empty?
  ensure
    abandon
  end

  # What remains of a stopped server that should not; folders named by `watched_folders` are compared with how
  # they were before it booted.
  def leftovers
    left = stray_files
    return left if @ended == :killed
    left += sockets
    left += process.members.map { |pid| "process #{pid} #{ServerProcess.command_line(pid)}" } if process && !process.members_gone?
    left
  end

  # Files next to the databases that are neither databases nor their journals, fences, records and previous versions.
  def stray_files
    watched_folders.flat_map do |folder|
      files = folder.glob("*", File::FNM_DOTMATCH).select(&:file?)
      files.reject { |file| @known.any? { |name| file.to_s.match?(/\A#{Regexp.escape(name)}(-wal|-shm|-journal|\.hotswap|\.hotswap\.log|\.hotswap\.log\.1|\.previous(\.\d+)?(\.foreign)?)?\z/) } }
    end.map(&:to_s)
  end

  private

  def set_up
    prepare
    yield self if block_given?
    @known = watched_folders.flat_map { |folder| folder.children.map(&:to_s) }
    up = boot
  ensure
    abandon unless up
  end

  # The caller never gets a server that did not boot, so it must end here.
  def abandon
    process&.kill
    @reserved&.release
    PumaServer.running.delete(self)
    FileUtils.rm_rf(root)
  end

  # The lock next to a socket stays: removing it could take it from the next leader.
  def sockets = root.glob("tmp/sockets/*", File::FNM_DOTMATCH).select(&:socket?).map(&:to_s)

  def output = root.join("log/server.log").tap { |file| file.dirname.mkpath }
end
