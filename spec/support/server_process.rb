# frozen_string_literal: true

require_relative "eventually"

# A server and all that it starts: a process group of its own, its output in a file.
class ServerProcess
  include Eventually

  # Puma on Ruby 3.3.8 now and then hangs at TERM, with or without this gem: wait this long, then kill, and do
  # not judge it.
  PATIENCE = 10

  attr_reader :pid, :output

  def initialize(command, output:, **options)
    @output = output
    @pid = Process.spawn(*command, in: File::NULL, out: [output.to_s, "a"], err: [:child, :out],
      pgroup: true, unsetenv_others: true, **options)
    @waiter = Process.detach(pid)
  end

  def self.start(environment, *command, **options) = new([environment, *command], **options)

  def alive? = @waiter.alive?

  def signal(name) = Process.kill(name, pid)

  # Returns :stopped if the server ended by itself, and :killed if it had to be killed.
  def stop
    return :stopped unless alive?
    signal(:TERM)
    @waiter.join(PATIENCE) ? :stopped : kill
  end

  def kill
    members.each { |member| kill_quietly(member) }
    kill_quietly(pid) if alive?
    @waiter.join
    :killed
  end

  # Every process of the group that still runs, the server itself included. Zombies have ended, and no process has asked
  # how.
  def members(zombies: false)
    Dir.glob("/proc/[0-9]*/stat").filter_map do |file|
      # The name in parentheses may hold spaces and parentheses; state, parent and group come after the last one.
      state, _parent, group = File.read(file).rpartition(")").last.split.first(3)
      file[/\d+/].to_i if group.to_i == pid && (zombies || state != "Z")
    rescue Errno::ENOENT, Errno::ESRCH
      nil # it ended while we looked
    end
  end

  def members_gone?(within: 5)
    eventually(within) { members.empty? }
  rescue TooLate
    false
  end

  def self.command_line(pid)
    File.binread("/proc/#{pid}/cmdline").tr("\0", " ").strip
  rescue Errno::ENOENT, Errno::ESRCH
    "(gone)"
  end

  private

  def kill_quietly(pid)
    Process.kill(:KILL, pid)
  rescue Errno::ESRCH
    nil # it ended by itself in the meantime
  end
end
