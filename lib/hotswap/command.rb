# frozen_string_literal: true

# The command as a process: the extension and nothing else, so that it starts as fast as Ruby does.
require "hotswap/native"

exit! Hotswap::Native.run_command(ARGV, Dir.pwd, $PROGRAM_NAME, ENV["BUNDLE_GEMFILE"])
