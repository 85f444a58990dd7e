# frozen_string_literal: true

module Bench
  # A process, as the kernel tells of it.
  SystemProcess = Struct.new(:pid) do
    def self.all = Dir.children("/proc").grep(/\A\d+\z/).map { |pid| new(pid.to_i) }

    def self.of_group(group) = all.select { |process| process.group == group }

    # The workers of the site in that folder.
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

    # Seconds of processor time.
    def processor_time
      user, system = read("stat").rpartition(")").last.split.values_at(11, 12)
      (user.to_i + system.to_i) / Etc.sysconf(Etc::SC_CLK_TCK).to_f
    end

    # Memory of its own in bytes: without files it has mapped, such as the database that SQLite reads.
    def own_memory = kilobytes("RssAnon")

    # Bytes that it has had written to the disk.
    def written = read("io")[/^write_bytes: (\d+)/, 1].to_i

    private

    def kilobytes(field) = read("status")[/^#{field}:\s*(\d+)/, 1].to_i * 1024

    # A process that has ended meanwhile has nothing to tell.
    def read(name)
      File.read("/proc/#{pid}/#{name}")
    rescue SystemCallError
      ""
    end
  end
end
