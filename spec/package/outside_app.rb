# frozen_string_literal: true

# The demo application as a user's own: outside this repository, with a Gemfile of its own that finds the installed gem.
class OutsideApp < AppServer
  def initialize(gems:, **options)
    super(**options, hotswap: nil)
    @gems = gems
    @program = [root.join("bin/hotswap").to_s]
  end

  def start_hotswap(*arguments, **options) = super(*arguments, env: @gems.environment, **options)

  def run(*command) = @gems.run(*command, chdir: root, env: {"RAILS_ENV" => "production", "SECRET_KEY_BASE" => "x" * 64})

  private

  def prepare
    super
    root.join("bin/hotswap").delete
    # As Rails generates it: the demo's own looks for the Gemfile of this repository.
    write("config/boot.rb", <<~RUBY)
      ENV["BUNDLE_GEMFILE"] ||= File.expand_path("../Gemfile", __dir__)
      require "bundler/setup"
    RUBY
    write("Gemfile", <<~RUBY)
      source "https://rubygems.org"

      gem "hotswap"
      gem "puma"
      gem "rails"
    RUBY
    @gems.run("bundle", "install", "--local", chdir: root)
  end

  def environment = super.except("BUNDLE_GEMFILE").merge(@gems.environment.slice("GEM_HOME", "GEM_PATH", "BUNDLE_IGNORE_CONFIG"))
end
