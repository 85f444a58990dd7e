# frozen_string_literal: true

require "fileutils"
require "json"
require "open3"
require "tmpdir"
require_relative "demo_app"
require_relative "hotswap_command"

# The demo application in its own folder, for programs that are not servers: runner, console, tasks, generators.
class RailsApp
  class Failed < StandardError; end

  attr_reader :root

  def self.in_a_folder(&block)
    app = new
    block.call(app)
  ensure
    app&.remove
  end

  def initialize
    @root = Pathname(Dir.mktmpdir("hs")).realpath
    DemoApp.copy_to(root)
  end

  def remove = FileUtils.rm_rf(root)

  def write(path, text) = root.join(path).tap { |file| file.dirname.mkpath }.write(text)

  # What the command prints. stdin_data: what it reads.
  def run(*command, env: {}, stdin_data: "")
    stdout, stderr, status = Open3.capture3(DemoApp.environment(env), *command,
      chdir: root.to_s, unsetenv_others: true, stdin_data: stdin_data)
    raise Failed, "#{command.join(" ")} failed:\n#{stdout}#{stderr}" unless status.success?
    stdout
  end

  def rails(*arguments, **options) = run(*Project::RUBY, "bin/rails", *arguments, **options)

  # The command, in the application's environment.
  def hotswap(*arguments, env: {}, **options) = HotswapCommand.run(*arguments, chdir: root, env: DemoApp.environment(env), **options)

  # The value of a Ruby expression in the booted application, by way of JSON.
  def evaluate(expression, **options)
    answer = rails("runner", "require 'json'; puts 'the answer: ' + JSON.generate([#{expression}])", **options)
    JSON.parse(answer[/^the answer: (.*)/, 1]).first
  end
end
