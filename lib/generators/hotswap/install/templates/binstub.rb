#!/usr/bin/env ruby
# frozen_string_literal: true

# Copies SQLite databases into and out of this application while it runs. See bin/hotswap help.
#
# Created by bin/rails generate hotswap:install. It starts fast because it loads neither Rails nor the bundle: it
# takes the version of hotswap from Gemfile.lock and asks RubyGems for the gem's folder.

# Ctrl-C ends the command even while it starts, without a Ruby backtrace.
trap("INT", "SYSTEM_DEFAULT")

# Nil unless the gem comes from a gem server. Only Bundler knows the folder of a gem from a path or from git.
def locked_version(lockfile)
  section = nil
  File.foreach(lockfile, encoding: Encoding::BINARY) do |line|
    section = line.chomp if line.start_with?(/\S/)
    version = line[/\A {4}hotswap \(([^-)]+)/, 1]
    return version if version && section == "GEM"
  end
  nil
rescue Errno::ENOENT
  nil
end

def installed(version)
  Gem::Specification.find_all_by_name("hotswap", version).first
end

# Bundler may install gems where RubyGems does not look: BUNDLE_PATH, vendor/bundle.
def installed_by_bundler(version)
  require "bundler"
  Gem.use_paths(Gem.dir, Gem.path.dup << Bundler.bundle_path.to_s)
  installed(version)
end

ENV["BUNDLE_GEMFILE"] = File.expand_path("../Gemfile", __dir__) if ENV["BUNDLE_GEMFILE"].to_s.empty?
gemfile = ENV["BUNDLE_GEMFILE"]
version = locked_version(gemfile.end_with?("gems.rb") ? gemfile.sub(/rb\z/, "locked") : "#{gemfile}.lock")

if version && (hotswap = installed(version) || installed_by_bundler(version))
  # The command needs none of the gems that hotswap depends on.
  $LOAD_PATH.unshift(*hotswap.full_require_paths)
else
  begin
    require "bundler/setup"
  rescue Bundler::BundlerError
    warn "ERROR: hotswap #{version} is not installed for #{RbConfig.ruby}, which is Ruby #{RUBY_VERSION}",
      "If the application uses another Ruby, put its folder first in PATH (cron and ssh do not read .bashrc). " \
      "Otherwise, run bundle install"
    exit 1
  end
end

require "hotswap/command"
