# frozen_string_literal: true

require "open3"
require_relative "demo_app"
require_relative "puma_server"
require_relative "test_database"

# The demo application in production mode, with its seeds, in a folder of its own.
#
# whole: boots all of Rails, as production does (DemoApp::LAZY).
#
#   AppServer.start(workers: 2, threads: 5, initializer: "Rails.application.config.hotswap.max_pause = 0.2")
class AppServer < PumaServer
  def initialize(workers: 0, threads: 5, preload: true, initializer: nil, whole: false, **options)
    super(**options)
    @workers = workers
    @threads = threads
    @preload = preload
    @initializer = initializer
    @whole = whole
  end

  # database: as in database.yml ("primary", "queue", "cache", "errors").
  def database_path(database = "primary")
    root.join("storage", (database == "primary") ? "production.sqlite3" : "production-#{database}.sqlite3").to_s
  end

  # The version of the data that it serves.
  def version = get("/version").json.fetch("version")

  # What a program of the application prints.
  def runner(code)
    said, status = Open3.capture2(environment, *Project::RUBY, "bin/rails", "runner", code, chdir: root.to_s, unsetenv_others: true)
    raise "bin/rails runner failed:\n#{said}" unless status.success?

    said
  end

  def databases = @databases ||= TestDatabase.new(root.join("files").tap(&:mkpath))

  private

  def prepare
    DemoApp.copy_to(root, whole: @whole)
    write("config/initializers/spec.rb", @initializer) if @initializer
  end

  def command = [*Project.puma, "-C", "config/puma.rb"]

  def environment
    DemoApp.environment(
      "PORT" => port.to_s, "WEB_CONCURRENCY" => @workers.to_s, "RAILS_MAX_THREADS" => @threads.to_s,
      "PRELOAD" => @preload ? "1" : "0", "RAILS_LOG_TO_STDOUT" => "1", **@env
    )
  end

  def watched_folders = [root.join("storage")]
end
