# frozen_string_literal: true

module Bench
  # A process, as the kernel describes it.
  SystemProcess = Struct.new(:pid) do
    def self.all = Dir.children("/proc").grep(/\A\d+\z/).map { |pid| new(pid.to_i) }

    def self.of_group(group) = all.select { |process| process.group == group }

    # hotswap's workers for the site in that folder.
    def self.workers_in(folder)
      all.select { |process| process.title.start_with?("hotswap worker") && process.folder == folder }
    end

    def title = read("cmdline").tr("\0", " ")

    def folder
      File.readlink("/proc/#{pid}/cwd")
    rescue SystemCallError
      nil
    end

    def group = read("stat").rpartition(")").last.split[2].to_i

    # The processor time, in seconds.
    def processor_time
      user, system = read("stat").rpartition(")").last.split.values_at(11, 12)
      (user.to_i + system.to_i) / Etc.sysconf(Etc::SC_CLK_TCK).to_f
    end

    # The memory of its own, in bytes: without mapped files, such as the database that SQLite reads.
    def own_memory = kilobytes("RssAnon")

    # How many descriptors it has open.
    def descriptors = Dir.children("/proc/#{pid}/fd").size

    # How many files it watches with inotify.
    def watches = Dir["/proc/#{pid}/fdinfo/*"].sum { |path| read("fdinfo/#{File.basename(path)}").scan(/^inotify /).size }

    # How many bytes it has caused to be written to the disk.
    def written = read("io")[/^write_bytes: (\d+)/, 1].to_i

    private

    def kilobytes(field) = read("status")[/^#{field}:\s*(\d+)/, 1].to_i * 1024

    # A process that has ended in the meantime has no data.
    def read(name)
      File.read("/proc/#{pid}/#{name}")
    rescue SystemCallError
      ""
    end
  end
end
