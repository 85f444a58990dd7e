# frozen_string_literal: true

require "fileutils"
require_relative "../demo/tour/database_file"

module Bench
  # One database in a series of swaps: the pushed file, and its content after it was replaced.
  #
  # A replaced file has no name any more. A descriptor that can neither read nor write (O_PATH) holds it, and gives
  # access to it afterwards. The kernel does not count such a descriptor as an open file.
  class Generation
    O_PATH = 0o10000000

    attr_reader :name, :tokens, :verdict
    # When the file was pushed, and when its successor was.
    attr_accessor :began, :ok, :replaced

    def initialize(name)
      @name = name
    end

    # Holds the live file, which belongs to this generation.
    def hold(live)
      @descriptor = IO.sysopen(live, O_PATH)
      @inode = File.stat(live).ino
    end

    def inspect_replaced(live, copy)
      raise "#{live} is still the file of #{name}" if File.stat(live).ino == @inode

      FileUtils.cp("/proc/self/fd/#{@descriptor}", copy)
      inspect_file(copy)
    ensure
      IO.for_fd(@descriptor).close
      FileUtils.rm_f([copy, "#{copy}-wal", "#{copy}-shm"])
    end

    def inspect_file(path)
      file = Tour::DatabaseFile.new(path)
      @verdict = file.integrity
      @tokens = file.tokens
    rescue SQLite3::Exception => error
      @verdict = error.message
      @tokens = []
    end
  end
end
