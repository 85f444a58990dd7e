# frozen_string_literal: true

require "fileutils"

# A file system of a few megabytes, in memory.
class SmallDisk
  def self.available?
    return @available unless @available.nil?

    Dir.mktmpdir("hs") { |folder| @available = new(folder, 1).mount.tap { |mounted| new(folder, 1).unmount if mounted } }
  end

  def initialize(folder, megabytes)
    @folder = folder.to_s
    @megabytes = megabytes
  end

  # What the folder holds moves onto the disk.
  def mount
    aside = "#{@folder}.aside"
    FileUtils.mv(@folder, aside)
    FileUtils.mkdir(@folder)
    mounted = system("mount", "-t", "tmpfs", "-o", "size=#{@megabytes}m", "tmpfs", @folder, err: File::NULL)
    FileUtils.cp_r("#{aside}/.", @folder)
    FileUtils.rm_rf(aside)
    mounted
  end

  # What is free, in bytes.
  def free = Integer(`df --output=avail -B1 #{@folder}`.lines.last)

  def unmount = system("umount", "--lazy", @folder)
end

# Group level: `app_on_small_disk(ItemsServer, 40)`, then `app` in the examples. The disk holds the folder storage/.
module AppOnSmallDisk
  def app_on_small_disk(server_class, megabytes, **options)
    before(:context) do
      skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
      @app = server_class.start(**options) do |app|
        @root = app.root
        @disk = SmallDisk.new(app.root.join("storage"), megabytes).tap(&:mount)
      end
    end

    after(:context) do
      @app&.tear_down
    ensure
      @disk&.unmount
      FileUtils.rm_rf(@root) if @root # cannot be removed while the disk is mounted in it
    end

    after { FileUtils.rm_f(filler) }

    attr_reader :app

    define_method(:filler) { app.root.join("storage/filler").to_s }
    define_method(:free) { `df --output=avail -B1 #{app.root.join("storage")}`.lines.last.to_i }
    define_method(:leave) { |bytes| File.write(filler, "x" * (free - bytes)) }
  end
end

RSpec.configure { |config| config.extend AppOnSmallDisk }
