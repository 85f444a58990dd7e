# frozen_string_literal: true

require "fileutils"
require_relative "../demo/site"

module Bench
  # The demo's site for the benchmarks: with a chosen bundle, server and number of workers, a database of a given
  # size, and hotswap's log in a separate file, so that logging does not affect the requests.
  class Site < ::Site
    DATABASE = "storage/production.sqlite3"
    LOG = "log/hotswap.log"
    WARM = 30

    attr_reader :workers, :bundle

    # @param bundle [Symbol] see Bundle
    # @param workers [Integer] of Puma; 0 is one process that serves by itself
    # @param server [Symbol] :puma, or :rails for `bin/rails server`
    # @param environment [Hash] more variables for the server and its workers
    # @param low_priority [Boolean] config.hotswap.low_priority
    # @param keep [Integer] config.hotswap.keep
    def initialize(folder, bundle: :hotswap, workers: 0, preload: true, server: :puma, low_priority: true, keep: 1, environment: {})
      settings = {"WEB_CONCURRENCY" => workers.to_s, "PRELOAD" => preload ? "1" : "0", "RAILS_MAX_THREADS" => "5", "RAILS_LOG_LEVEL" => "warn"}
      super(folder, settings.merge("BUNDLE_GEMFILE" => Bundle.gemfile(bundle), **environment))
      @bundle = bundle
      @workers = workers
      @server = server
      configure(low_priority, keep)
    end

    def install(databases, live)
      FileUtils.mkdir_p(File.join(folder, "storage"))
      databases.each { |path| FileUtils.cp(path, File.join(folder, "storage")) }
      FileUtils.cp(live, database)
    end

    # Returns when every worker answers and has the database open.
    def boot
      start_workers
      warm
      self
    end

    # Returns when every worker has booted.
    def start_workers
      FileUtils.mkdir_p(File.dirname(output))
      @pid = Process.spawn(@settings, *command, **where, pgroup: true)
      wait_for("an answer") { serving? }
      wait_for("#{workers} workers") { File.read(output).scan(/- Worker \d+ \(PID: \d+\) booted/).size >= workers }
    end

    # Makes every worker answer, so that its code is loaded.
    def warm
      [workers, 1].max.times.map do
        Thread.new { WARM.times { get("/items/1") } }
      end.each(&:join)
    end

    def path(name) = File.join(folder, name)

    def database = path(DATABASE)

    def log = path(LOG)

    # The processes of the application, without hotswap's workers.
    def processes
      SystemProcess.of_group(pid).reject { |process| process.title.start_with?("hotswap worker") }
    end

    # Pushes a file, as a user in the site's folder does. Returns the time in seconds.
    def push(file, *flags) = hotswap("cp", file, DATABASE, *flags)

    # Goes back to the version that the last push replaced. Returns the time in seconds.
    def rollback(*flags) = hotswap("rollback", DATABASE, *flags)

    # Does the same with the file as standard input.
    def push_stream(file) = hotswap("cp", "-", DATABASE, input: file)

    # Does the same through a pipe, which another program fills as fast as it empties.
    def push_pipe(file)
      Command.shell("cat \"$FILE\" | #{client.join(" ")} cp - #{DATABASE}", chdir: folder, env: @settings.merge("FILE" => file))
    end

    # Runs a command that copies nothing.
    def ask(*arguments) = hotswap(*arguments)

    # Pulls into a file.
    def pull(file, *options) = hotswap("cp", DATABASE, file, *options)

    # Pulls to standard output, which the shell redirects into the file.
    def pull_redirected(file)
      Command.shell("#{client.join(" ")} cp #{DATABASE} - > \"$COPY\"", chdir: folder, env: @settings.merge("COPY" => file))
    end

    # Pulls through a pipe that another program empties as fast as it fills.
    def pull_stream(*options)
      Command.shell("#{client.join(" ")} cp #{DATABASE} - #{options.join(" ")} | cat > /dev/null", chdir: folder, env: @settings)
    end

    # Returns when the work that the user does not wait for is over, too: the worker has ended, and the replaced file
    # is gone.
    def settle
      deadline = now + PATIENCE
      until SystemProcess.workers_in(folder).empty?
        now < deadline or raise Failed, "a worker is still there after #{PATIENCE} s\n#{last_words}"
        sleep 0.01
      end
      Command.run("sync")
    end

    def swap_log = SwapLog.new(log)

    def version = JSON.parse(get("/version")).fetch("version")

    private

    def hotswap(*arguments, **) = Command.run(*client, *arguments, chdir: folder, env: @settings, **)

    def client
      return %w[bin/hotswap] unless bundle == :namesake

      [RbConfig.ruby, "-I", File.join(Bundle.namesake, "lib"), File.join(Bundle.namesake, "exe/hotswap")]
    end

    def command
      return ["bin/rails", "server", "-b", "127.0.0.1", "-p", port.to_s] if @server == :rails

      ["bundle", "exec", "puma", "-C", "config/puma.rb"]
    end

    # The namesake knows only the first of these settings.
    def configure(low_priority, keep)
      FileUtils.mkdir_p(path("config/initializers"))
      File.write(path("config/initializers/hotswap.rb"), <<~RUBY)
        Hotswap.logger = Logger.new(Rails.root.join(#{LOG.inspect})) if defined?(Hotswap)
        #{"Rails.application.config.hotswap.low_priority = false" unless low_priority}
        #{"Rails.application.config.hotswap.keep = #{keep}" unless keep == 1}
      RUBY
    end

    def wait_for(what)
      deadline = now + PATIENCE
      until yield
        gone? and raise Failed, "the server ended at boot\n#{last_words}"
        now < deadline or raise Failed, "not #{what} in #{PATIENCE} s after the boot\n#{last_words}"
        sleep 0.01
      end
    end
  end
end
