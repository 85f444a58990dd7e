# frozen_string_literal: true

require_relative "eventually"

# A control group with a limit on its memory, as a container has one.
#
#   group = MemoryGroup.make(megabytes: 200) or skip "…"
#   ItemsServer.start(by_way_of: group.entering)
class MemoryGroup
  include Eventually

  # Where the kernel has its groups: version 2, or the folder of version 1 that is for memory.
  SECOND = "/sys/fs/cgroup"
  FIRST = "/sys/fs/cgroup/memory"

  # Nil where this user may make none.
  def self.make(megabytes:)
    root, limit = File.exist?("#{SECOND}/cgroup.controllers") ? [SECOND, "memory.max"] : [FIRST, "memory.limit_in_bytes"]
    folder = "#{root}/hotswap-spec-#{Process.pid}-#{rand(1_000_000)}"
    Dir.mkdir(folder)
    new(folder, limit).tap { |group| group.limit_to(megabytes) }
  rescue SystemCallError
    Dir.rmdir(folder) if folder && Dir.exist?(folder)
    nil
  end

  def initialize(folder, limit)
    @folder = folder
    @limit = limit
  end

  def limit_to(megabytes) = File.write("#{@folder}/#{@limit}", (megabytes * 1024 * 1024).to_s)

  # The anonymous memory of its processes, in megabytes.
  def own_memory = File.read("#{@folder}/memory.stat")[/^(?:anon|total_rss) (\d+)$/, 1].to_i / 1024 / 1024

  # A command prefix that runs the command in the group.
  def entering = ["sh", "-c", "echo $$ > #{@folder}/cgroup.procs; exec \"$@\"", "sh"]

  # When its processes have ended, of which the kernel may learn a moment later.
  def remove
    eventually do
      Dir.rmdir(@folder)
    rescue Errno::EBUSY
      false
    end
  end
end
