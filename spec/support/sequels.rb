# frozen_string_literal: true

require "rubygems/package"
require_relative "project"

# Sequel, which is in no lane's Gemfile: installed, or as a package that bin/setup found. It is plain Ruby, so
# that unpacking it is all it takes.
module Sequels
  PACKAGES = Project::ROOT.join("tmp/gems/packages")

  # The folder to load it from; nil where it cannot be had.
  def self.folder
    installed = Gem::Specification.find_all_by_name("sequel").first
    return installed.full_require_paths.first if installed

    package = PACKAGES.glob("sequel-*.gem").select(&:exist?).max
    unpacked(package).join("lib").to_s if package
  end

  # A rename at the end: another run may unpack it at the same time.
  def self.unpacked(package)
    target = Project::CACHE.join(package.basename(".gem"))
    return target if target.exist?

    draft = "#{target}.new-#{Process.pid}"
    Gem::Package.new(package.to_s).extract_files(draft)
    File.rename(draft, target)
    target
  rescue Errno::ENOTEMPTY, Errno::EEXIST
    FileUtils.rm_rf(draft)
    target
  end
  private_class_method :unpacked
end
