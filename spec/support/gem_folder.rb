# frozen_string_literal: true

require "fileutils"
require_relative "project"

# A folder of gems, with hotswap in it as a precompiled gem is installed.
class GemFolder
  attr_reader :path

  def initialize(path)
    @path = Pathname(path)
  end

  def add_hotswap
    specification = Gem::Specification.load(Project::ROOT.join("hotswap.gemspec").to_s)
    specification.extensions.clear
    add(specification) { |folder| FileUtils.cp_r(Project::ROOT.join("lib"), folder) }
  end

  # Another version of it, whose command says only which one it is, and whether RubyGems is loaded.
  def add_other_hotswap(version)
    specification = Gem::Specification.new("hotswap", version) { |other| other.summary = other.author = "other" }
    add(specification) do |folder|
      folder.join("lib/hotswap").mkpath
      folder.join("lib/hotswap/hotswap.#{RbConfig::CONFIG["DLEXT"]}").write("")
      folder.join("lib/hotswap/command.rb").write("puts 'the other hotswap, #{version}', *defined?(Gem)")
    end
  end

  private

  def add(specification)
    folder = path.join("gems", specification.full_name).tap(&:mkpath)
    yield folder
    path.join("specifications").tap(&:mkpath).join("#{specification.full_name}.gemspec").write(specification.to_ruby)
  end
end
