# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "project"

# A folder on a file system of its own. What the folder held before is on that file system.
#
#   folder = MountedFolder.new(:xfs, app.root.join("storage")).mount
class MountedFolder
  KINDS = %i[ext4 xfs btrfs tmpfs overlay overlay_of_two fuse].freeze
  # In megabytes: the smallest that every mkfs accepts. The image is a sparse file.
  SIZE = 320

  class CannotMount < StandardError; end

  class << self
    # Why this machine cannot mount one, or nil.
    def missing(kind)
      @missing ||= {}
      return @missing[kind] if @missing.key?(kind)

      @missing[kind] = Dir.mktmpdir("hs") do |parent|
        new(kind, File.join(parent, "folder").tap { |folder| Dir.mkdir(folder) }).mount.unmount
        nil
      rescue CannotMount => error
        "this machine cannot mount #{kind}: #{error.message}"
      end
    end
  end

  attr_reader :folder, :image

  # image: the file that holds ext4, XFS or btrfs.
  def initialize(kind, folder, image: nil, megabytes: SIZE)
    @kind = kind
    @folder = folder.to_s
    @image = image || beside("image")
    @megabytes = megabytes
    @mounted = []
  end

  # What does not end up on the file system itself, such as the lower layer, stays in a folder next to it.
  def beside(name) = "#{@folder}.#{name}"

  def mount
    FileUtils.mv(@folder, beside("before"))
    [@folder, beside("upper"), beside("work")].each { |path| FileUtils.mkdir(path) }
    send(:"mount_#{@kind}")
    self
  rescue CannotMount
    unmount
    raise
  end

  # Mounts an image that has a file system already.
  def mount_again
    attach("-o", "loop", image, @folder)
    self
  end

  # Lazily, because a process of the spec may still have a file open. The daemon of a FUSE file system ends with its mount.
  def unmount
    @mounted.pop.then { |path| system("umount", "--lazy", path, err: File::NULL) } until @mounted.empty?
    self
  end

  private

  def mount_ext4 = mount_image("mkfs.ext4", "-q", "-F")

  def mount_xfs = mount_image("mkfs.xfs", "-q", "-m", "reflink=1")

  def mount_btrfs = mount_image("mkfs.btrfs", "-q")

  def mount_tmpfs
    attach("-t", "tmpfs", "-o", "size=#{SIZE}m", "tmpfs", @folder)
    fill
  end

  # The files lie in the lower layer, as those of an image do in a container.
  def mount_overlay
    layers = {lowerdir: beside("before"), upperdir: beside("upper"), workdir: beside("work")}
    attach("-t", "overlay", "-o", layers.map { |layer, path| "#{layer}=#{path}" }.join(","), "overlay", @folder)
  end

  # The layers lie on two file systems, as on a live CD. Then two names of one file may have different inode numbers.
  def mount_overlay_of_two
    attach("-t", "tmpfs", "tmpfs", beside("upper"))
    upper, work = %w[upper work].map { |name| File.join(beside("upper"), name).tap { |path| FileUtils.mkdir(path) } }
    attach("-t", "overlay", "-o", "lowerdir=#{beside("before")},upperdir=#{upper},workdir=#{work}", "overlay", @folder)
  end

  def mount_fuse
    run("bindfs", beside("before"), @folder)
    @mounted << @folder
  end

  def mount_image(*mkfs)
    File.open(image, "w") { |file| file.truncate(@megabytes * 1024 * 1024) }
    run(*mkfs, image)
    mount_again
    fill
  end

  def fill = FileUtils.cp_r("#{beside("before")}/.", @folder, preserve: true)

  def attach(*arguments)
    run("mount", *arguments)
    @mounted << arguments.last
  end

  def run(program, *arguments)
    found = Project.program(program) or raise CannotMount, "there is no #{program}"
    output, status = Open3.capture2e(found, *arguments)
    raise CannotMount, output.strip.lines.first.to_s.strip unless status.success?
  end
end
