# frozen_string_literal: true

require "json"
require "rbconfig"

module Hotswap
  # Makes this process serve `hotswap cp`, now or when the process that serves has ended.
  class Server
    # Environment variables that are hidden from a worker. With them it would load the application's bundle.
    HIDDEN = %w[RUBYOPT RUBYLIB BUNDLE_* GEM_* RUBYGEMS_*].freeze
    WORKER = File.expand_path("programs/worker.rb", __dir__) # steep:ignore
    PROBE = File.expand_path("programs/probe.rb", __dir__) # steep:ignore
    # The maximum number of databases in one log line.
    MOST_NAMED = 20
    NO_DATABASE = "found no database to manage. Name an SQLite file in config/database.yml or in config.hotswap.database_path"

    # See {Hotswap.start}. Can be called again, and in a forked child.
    def start
      return complain(NO_DATABASE) if Hotswap.databases.empty?

      Hotswap.databases.booted
      why_not = why_sqlite_does_not_do
      return complain(why_not) if why_not

      tell if serve
      Hotswap.runtime.membership.join_all if Hotswap.runtime.after_swap.any?
    rescue Error, SystemCallError => error
      complain(error.message)
    end

    # Makes a process that was forked from a serving one the next in line.
    def continue_after_fork
      serve if @generation && @generation != Native.generation
    rescue Error, SystemCallError => error
      complain(error.message)
    end

    # See {Hotswap.stop}.
    def stop
      @generation = nil
      Native.stop
    end

    # Makes the databases that this process has registered since the application booted known to every command, no
    # matter which process serves.
    def publish
      Native.publish(description)
    end

    # What a command in this process needs to find the server, or to start a worker itself.
    # @return [Array, nil] the arguments of {Native.serve}; nil if this process has neither databases nor a socket
    #   of its own
    def description
      return if Hotswap.databases.empty? && Hotswap.configuration.socket_path == Configuration::SOCKET_PATH

      Hotswap.runtime.host.ensure_running
      [Hotswap.socket_path, Hotswap.stderr_socket_path, command, HIDDEN, JSON.generate(settings)]
    end

    private

    # @return [Hash] what a worker is told about the application
    def settings
      {
        databases: Hotswap.databases.registered.map(&:to_settings),
        at_boot: Hotswap.databases.at_boot,
        socket: FileName.to_json_value(FileName.utf8(Hotswap.socket_path)),
        root: FileName.to_json_value(FileName.expand(Hotswap.configuration.root, "/")),
        max_pause_ms: (Hotswap.configuration.max_pause * 1000).ceil,
        timeout_ms: (Hotswap.configuration.timeout * 1000).ceil,
        low_priority: Hotswap.configuration.low_priority,
        in_place: Hotswap.configuration.in_place,
        keep: Hotswap.configuration.keep,
        probe: Hotswap.runtime.probe.any?,
        probe_program: FileName.to_json_value(FileName.utf8(PROBE)),
        probe_timeout_ms: (Hotswap.configuration.probe_timeout * 1000).ceil,
        max_shrink: Hotswap.configuration.max_shrink,
        tables: Hotswap.configuration.tables,
        pull: Hotswap.configuration.pull,
        **Hotswap.configuration.redaction.to_settings
      }
    end

    # @return [Boolean] false if this process already serves
    def serve
      @generation = Native.generation
      stop_at_exit
      Native.serve(description)
    end

    def tell
      left_alone, managed = Hotswap.databases.registered.partition(&:objection)
      more = ", and #{managed.size - MOST_NAMED} more" if managed.size > MOST_NAMED
      Log.info("managing #{managed.size} database(s)#{" and patterns" if managed.any?(&:pattern?)}: #{managed.first(MOST_NAMED).map(&:label).join(", ")}#{more}")
      left_alone.each { |database| Log.error("#{database.label} is not managed: #{database.objection}") }
    end

    def stop_at_exit
      return if @stops_at_exit

      # Forked children inherit this block, but it affects only the process that serves.
      @stops_at_exit = true
      at_exit { stop }
    end

    def complain(why)
      Log.error("hotswap is not available: #{why}")
      nil
    end

    def why_sqlite_does_not_do
      return if SQLite3::Database.method_defined?(:enable_load_extension)

      "this build of the sqlite3 gem cannot load extensions, which a worker needs. " \
        "Install the precompiled gem, or build it without SQLITE_OMIT_LOAD_EXTENSION"
    end

    # The interpreter that runs the application, with the application's sqlite3 gem and no other gems.
    def command
      paths = sqlite3_load_paths.flat_map { |path| ["-I", path] }
      [RbConfig.ruby, "--disable-gems", *paths, WORKER, Native.library]
    end

    def sqlite3_load_paths
      specification = Gem.loaded_specs["sqlite3"] if defined?(Gem)
      return specification.full_require_paths if specification

      native = "sqlite3/sqlite3_native.#{RbConfig::CONFIG["DLEXT"]}"
      $LOAD_PATH.select { |path| File.exist?(File.join(path, "sqlite3.rb")) || File.exist?(File.join(path, native)) }
    end
  end
end
