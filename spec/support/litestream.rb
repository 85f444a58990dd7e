# frozen_string_literal: true

require "fileutils"
require "open3"
require_relative "eventually"
require_relative "project"

# Litestream 0.5, which replicates one database into a folder: the program in the path, or the one that its gem
# brings, where that lies next to the project.
class Litestream
  include Eventually

  GEM = Dir[Project::ROOT.join("../shared/gems/litestream-*-x86_64-linux.gem").to_s].max

  def self.program
    @program ||= in_the_path || (unpacked if GEM && RUBY_PLATFORM.start_with?("x86_64-linux"))
  end

  def self.in_the_path
    version, status = Open3.capture2e("litestream", "version")
    "litestream" if status.success? && version.match?(/\A(v?0\.5|\(devel\))/)
  rescue Errno::ENOENT
    nil
  end

  def self.unpacked
    folder = Project::CACHE.join(File.basename(GEM, ".gem")).tap(&:mkpath)
    program = folder.join("exe/x86_64-linux/litestream")
    unless program.executable?
      system("sh", "-c", 'tar -xOf "$0" data.tar.gz | tar -xzf - -C "$1" exe', GEM, folder.to_s, exception: true)
    end
    program.to_s
  end
  private_class_method :in_the_path, :unpacked

  attr_reader :pid

  # The folder takes the configuration, the replica, and what is restored.
  def initialize(database, folder)
    @database = database
    @folder = Pathname(folder).tap(&:mkpath)
    @socket = @folder.join("socket").to_s
    @configuration = @folder.join("litestream.yml").to_s
    File.write(@configuration, <<~YAML)
      socket: {enabled: true, path: #{@socket}}
      dbs:
        - path: #{database}
          replica: {type: file, path: #{@folder.join("replica")}}
    YAML
    @pid = Process.spawn(*command("replicate"), out: @folder.join("log").to_s, err: [:child, :out], unsetenv_others: true)
    @waiter = Process.detach(pid)
    eventually { File.socket?(@socket) || (!@waiter.alive? && raise("it ended: #{log}")) }
  end

  # Has all that is committed in the replica.
  def sync
    said, status = Open3.capture2e(Litestream.program, "sync", "-socket", @socket, "-wait", "-timeout", "20", @database)
    raise "litestream sync: #{said}\n#{log}" unless status.success?
  end

  # The replica as a database of its own. Returns its path.
  def restore
    path = @folder.join("restored-#{rand(1_000_000)}.sqlite3").to_s
    said, status = Open3.capture2e(*command("restore", "-o", path, @database))
    raise "litestream restore: #{said}\n#{log}" unless status.success?

    path
  end

  def log = File.read(@folder.join("log"), encoding: "UTF-8").scrub

  def stop
    Process.kill(:KILL, pid) if @waiter.alive?
    @waiter.join
    # What it keeps next to the database.
    FileUtils.rm_rf(File.join(File.dirname(@database), ".#{File.basename(@database)}-litestream"))
  end

  private

  def command(name, *arguments) = [Litestream.program, name, "-config", @configuration, *arguments]
end
