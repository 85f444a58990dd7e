# frozen_string_literal: true

require_relative "lib/hotswap/version"

Gem::Specification.new do |spec|
  spec.name = "hotswap"
  spec.version = Hotswap::VERSION
  spec.authors = ["The hotswap developers"]
  spec.summary = "Replace the SQLite database of a running Rails application without a restart"
  spec.description = "hotswap cp pushes a new SQLite database into a running application, in every process at " \
    "once, and pulls consistent snapshots of it. No restart, no lost writes, and requests wait for milliseconds."
  spec.homepage = "https://rubygems.org/gems/hotswap"
  spec.license = "MIT"
  spec.required_ruby_version = ">= 3.2"
  spec.metadata = {"rubygems_mfa_required" => "true"}

  spec.files = Dir[
    "lib/**/*.{rb,erb,css,js}", "lib/generators/**/templates/*", "exe/*", "ext/**/*.{rs,rb,toml}", "sig/**/*", "Cargo.toml", "Cargo.lock",
    "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs/*.{md,svg,png}"
  ].grep_v(%r{\Aext/.*/(tests|target)/})
  spec.bindir = "exe"
  spec.executables = ["hotswap"]
  spec.extensions = ["ext/hotswap/extconf.rb"]

  spec.add_dependency "rb_sys", "~> 0.9", ">= 0.9.87"
  spec.add_dependency "sqlite3", ">= 1.7", "< 3"
end
