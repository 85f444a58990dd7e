# frozen_string_literal: true

require_relative "project"
require_relative "puma_server"

# An application without Rails: its whole config.ru as a string.
#
#   RackServer.start(config: <<~RUBY) { |server| TestDatabase.new(server.root).release("v1", name: "app.sqlite3") }
#     require "hotswap"
#     ...
#     run ->(env) { [200, {}, ["hello"]] }
#   RUBY
class RackServer < PumaServer
  def initialize(config:, database: "app.sqlite3", workers: 0, threads: 5, **options)
    super(**options)
    @config = config
    @database = database
    @workers = workers
    @threads = threads
  end

  def database_path = root.join(@database).to_s

  private

  def prepare = write("config.ru", @config)

  def command
    [*Project.puma, "--bind", "tcp://127.0.0.1:#{port}", "--workers", @workers.to_s,
      "--threads", "#{@threads}:#{@threads}", "--environment", "production", "config.ru"]
  end

  def environment = Project.bundled_environment("RACK_ENV" => "production", **@env)

  def watched_folders = [Pathname(database_path).dirname]
end
