# frozen_string_literal: true

require "rbconfig"
require "timeout"

# A disk that answers when a spec wants it to: a file system in memory, mounted through /dev/fuse, whose server can hold
# requests back. A process with such a request waits in the kernel, and no signal ends that.
#
#   disk = FuseDisk.mount(folder)
#   disk.hold(:getattr) { File.stat("#{folder}/file") }   # waits for good
#   disk.refuse(:setattr, :EPERM)                          # keeps no modes
class FuseDisk
  SERVER = File.join(__dir__, "fuse_disk/server.rb")
  PATIENCE = 10

  class << self
    def mounted = (@mounted ||= [])

    # Where there is no /dev/fuse, or mounting is not allowed.
    def available?
      return @available unless @available.nil?

      Dir.mktmpdir("hs") { |folder| @available = mount(folder).unmount }
    rescue EOFError, SystemCallError
      @available = false
    end

    def mount(folder) = new(folder.to_s)

    def unmount_all
      mounted.shift.unmount until mounted.empty?
    end
  end

  attr_reader :folder

  def initialize(folder)
    @folder = folder
    @server = IO.popen([RbConfig.ruby, "--disable-gems", SERVER, folder], "r+", err: File::NULL)
    hear("mounted")
    FuseDisk.mounted << self
  end

  # As long as the block runs no question of these kinds is answered; see KINDS in the server.
  def hold(*kinds)
    say("hold #{kinds.join(" ")}", "held")
    yield
  ensure
    answer
  end

  def answer = say("answer", "answered")

  # From now on the answer to questions of this kind is this error: disk.refuse(:setattr, :EPERM)
  def refuse(kind, error) = say("refuse #{kind} #{error}", "refused")

  def children = Dir.children(@folder)

  def unmount
    FuseDisk.mounted.delete(self)
    # The server goes first: its end gives every waiting process an error.
    Process.kill(:KILL, @server.pid)
    @server.close
    system("umount", "--lazy", @folder)
  end

  private

  def say(line, answer)
    @server.puts(line)
    hear(answer)
  end

  def hear(expected)
    Timeout.timeout(PATIENCE) { raise EOFError, "the disk's server ended" unless @server.readline.start_with?(expected) }
  end
end

RSpec.configure { |config| config.prepend_after { FuseDisk.unmount_all } } if defined?(RSpec)
