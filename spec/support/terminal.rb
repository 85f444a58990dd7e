# frozen_string_literal: true

require "pty"

# A terminal for a command, and what it shows.
#
#   Terminal.open { |terminal, shown| app.hotswap("cp", file, live, err: terminal) }
module Terminal
  def self.open
    master, slave = PTY.open
    shown = String.new(encoding: Encoding::BINARY)
    reader = Thread.new do
      loop { shown << master.readpartial(4096) }
    rescue EOFError, Errno::EIO
      nil # the last program that had the other end open has closed it
    end
    yield slave, shown
  ensure
    slave.close unless slave.closed?
    reader&.join(5)
    reader&.kill
    master.close
  end
end
