#!/usr/bin/env ruby
# frozen_string_literal: true

# Copies SQLite databases into and out of this application while it runs: bin/hotswap help
#
# It starts at once, for it loads neither Rails nor the bundle: Gemfile.lock tells the version of hotswap, and
# RubyGems where that is. Made by: bin/rails generate hotswap:install

# Nil unless it comes from a gem server: where a gem from a path or from git is, only Bundler knows.
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

def installed(version) = Gem::Specification.find_all_by_name("hotswap", version).first

# Gems that are not among RubyGems' own are where Bundler was told to put them: BUNDLE_PATH, vendor/bundle.
def installed_by_bundler(version)
  require "bundler"
  Gem.use_paths(Gem.dir, [*Gem.path, Bundler.bundle_path.to_s])
  installed(version)
end

ENV["BUNDLE_GEMFILE"] = File.expand_path("../Gemfile", __dir__) if ENV["BUNDLE_GEMFILE"].to_s.empty?
gemfile = ENV["BUNDLE_GEMFILE"]
version = locked_version(gemfile.end_with?("gems.rb") ? gemfile.sub(/rb\z/, "locked") : "#{gemfile}.lock")

if version && (hotswap = installed(version) || installed_by_bundler(version))
  # Its own folders and none of what it depends on: the command needs nothing else.
  $LOAD_PATH.unshift(*hotswap.full_require_paths)
else
  begin
    require "bundler/setup"
  rescue Bundler::BundlerError => error
    warn "ERROR: hotswap cannot be loaded: #{error.message}", "Install the application's gems: bundle install"
    exit 5
  end
end

require "hotswap/command"
