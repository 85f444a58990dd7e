# frozen_string_literal: true

# `hotswap cp ... --offline`. The command becomes this program:
#   ruby programs/offline.rb APPLICATION ARGUMENT...
#
# It loads the part of the Rails application that names its databases, and runs the command in this process.

# Ctrl-C ends the program without a backtrace.
trap("INT", "SYSTEM_DEFAULT")

root = ARGV.shift
folder = Dir.pwd

# In a pull, standard output carries the database. What the application prints goes to standard error.
output = $stdout.dup
$stdout.reopen($stderr)

# Root must not leave files in a cache that the application cannot write later.
ENV["BOOTSNAP_READONLY"] ||= "1"

begin
  # A database may be named by a relative URI, which means the folder in which the application runs.
  Dir.chdir(root)
  require File.join(root, "config/application")
  require "hotswap"
  require "hotswap/rails/outline"
  Hotswap::RailsOutline.load
rescue Exception => error # rubocop:disable Lint/RescueException -- bundler/setup exits, and code may not parse
  raise if error.is_a?(SignalException)

  where = error.backtrace&.find { |line| line.start_with?("#{root}/") }&.then { |line| " at #{line[/\A.+?:\d+/]}" }
  warn "ERROR: cannot load the settings of the application in #{root}: #{error.message} (#{error.class})#{where}"
  exit! 5
end

trap("INT", "DEFAULT")
status = begin
  Hotswap::CLI.new($stdin, output, $stderr, folder).run(ARGV).code
rescue SignalException => signal
  128 + signal.signo
end
exit! status
