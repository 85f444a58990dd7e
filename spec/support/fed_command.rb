# frozen_string_literal: true

require "forwardable"

# A command whose standard input a spec writes bit by bit.
#
#   push = FedCommand.start(app, "cp", "-", "database")
class FedCommand
  extend Forwardable

  def_delegators :@command, :pid, :kill, :running?, :stderr

  def self.start(...) = new(...)

  def initialize(server, *arguments, **options)
    reader, @writer = IO.pipe(binmode: true)
    @command = server.start_hotswap(*arguments, in: reader, **options)
  ensure
    reader.close
  end

  # False when the command reads no more.
  def write(bytes)
    @writer.write(bytes)
  rescue Errno::EPIPE
    false
  end

  # The end of its input.
  def close = @writer.close

  # For a command that has all its input, or is to end without.
  def wait(...) = @command.wait(...)
end
