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

  def unmount = system("umount", "--lazy", @folder)
end
