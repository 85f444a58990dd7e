# frozen_string_literal: true

# The command as a process: the extension and nothing else, so that it starts as fast as Ruby does.

require "hotswap/native"

folder = begin
  Dir.pwd
rescue SystemCallError
  nil # It has been deleted, as an old release is. Not every command needs it.
end

exit! Hotswap::Native.run_command(ARGV, folder, $PROGRAM_NAME, ENV["BUNDLE_GEMFILE"])
