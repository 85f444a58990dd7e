# frozen_string_literal: true

require "bundler"
require "pathname"

# Paths, and the environments in which the specs start other programs.
module Project
  ROOT = Pathname(File.expand_path("../..", __dir__))
  CACHE = ROOT.join("tmp/specs")
  # Ruby with the lane's gems. `bundle exec` takes more than half a second longer, and the specs start hundreds of
  # programs.
  RUBY = %w[ruby -rbundler/setup].freeze

  module_function

  # The set of gems that this run uses (bin/lane).
  def lane = ENV.fetch("HOTSWAP_LANE", "default")

  # The lane whose gems these are: the lane `portable` has those of the default lane.
  def gems = (lane == "portable") ? "default" : lane

  # Whether the extension uses the backend for Linux.
  def linux? = RUBY_PLATFORM.include?("linux") && lane != "portable"

  # Puma with the lane's gems.
  def puma = [*RUBY, Gem.bin_path("puma", "puma")]

  # Where a program of the system is, the administrator's ones included.
  def program(name)
    folders = [*ENV.fetch("PATH").split(":"), "/usr/local/sbin", "/usr/sbin"]
    folders.map { |folder| File.join(folder, name) }.find { |file| File.executable?(file) }
  end

  # The environment of a plain shell, with the lane's gems for Bundler.
  def bundled_environment(extra = {})
    Bundler.original_env.except("HOTSWAP_SOCKET", "PORT")
      .merge("BUNDLE_GEMFILE" => Bundler.default_gemfile.to_s).merge(extra)
  end

  # The environment of a shell without Bundler.
  def plain_environment(extra = {})
    Bundler.unbundled_env.except("HOTSWAP_SOCKET", "PORT").merge(extra)
  end
end
