# frozen_string_literal: true

require_relative "eventually"

# A server and all that it starts: a process group of its own, its output in a file.
class ServerProcess
  include Eventually

  # Puma on Ruby 3.3.8 now and then hangs at TERM, with or without this gem. A server that has used no processor time for
  # HUNG seconds, or has not ended after PATIENCE seconds, is killed, and not judged.
  HUNG = 2
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
    ends? ? :stopped : kill
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
    stats.filter_map { |member, stat| member if zombies || stat.first != "Z" }
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

  # What the kernel says about each process of the group: state, parent, group, and so on (man proc_pid_stat).
  def stats
    Dir.glob("/proc/[0-9]*/stat").filter_map do |file|
      # The name in parentheses may hold spaces and parentheses; the state comes after the last one.
      stat = File.read(file).rpartition(")").last.split
      [file[/\d+/].to_i, stat] if stat[2].to_i == pid
    rescue Errno::ENOENT, Errno::ESRCH
      nil # it ended while we looked
    end
  end

  # Whether it ends by itself, after TERM.
  def ends?
    begun = busy = Eventually.now
    used = nil
    until @waiter.join(0.25)
      now = Eventually.now
      used_until_now = processor_time
      busy = now if used_until_now != used
      used = used_until_now
      return false if now - busy > HUNG || now - begun > PATIENCE
    end
    true
  end

  # In user and in kernel mode, in clock ticks.
  def processor_time = stats.sum { |_, stat| stat[11].to_i + stat[12].to_i }

  def kill_quietly(pid)
    Process.kill(:KILL, pid)
  rescue Errno::ESRCH
    nil # it ended by itself in the meantime
  end
end
