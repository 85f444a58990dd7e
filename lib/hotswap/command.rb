# frozen_string_literal: true

# The command as a process. It loads only the extension, and works without RubyGems, whose start takes longer than the
# command's own.
#
# An application's bin/hotswap requires this file by its name, whichever version of the gem is installed: keep it here.

require "hotswap/native"

folder = begin
  Dir.pwd
rescue SystemCallError
  nil # The folder has been deleted, such as an old release. Some commands work without it.
end

surroundings = [ARGV, folder, $PROGRAM_NAME, ENV["BUNDLE_GEMFILE"]]
application = Hotswap::Native.offline_application(*surroundings)
if application
  # A new program, because the application's bundle may contain another version of the extension.
  require "rbconfig"
  exec(RbConfig.ruby, File.expand_path("programs/offline.rb", __dir__), application, *ARGV)
end

exit! Hotswap::Native.run_command(*surroundings)
