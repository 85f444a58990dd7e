# frozen_string_literal: true

require "logger"
require "hotswap/version"
require "hotswap/errors"
require "hotswap/native"
require "hotswap/file_name"
require "hotswap/redaction"
require "hotswap/configuration"
require "hotswap/log"
require "hotswap/database"
require "hotswap/databases"
require "hotswap/gate"
require "hotswap/connections"
require "hotswap/events"
require "hotswap/before_swap"
require "hotswap/probe"
require "hotswap/after_swap"
require "hotswap/membership"
require "hotswap/fork/connections"
require "hotswap/release"
require "hotswap/host"
require "hotswap/server"
require "hotswap/fork/daemon"
require "hotswap/middleware"
require "hotswap/cli"
require "hotswap/copy"
require "hotswap/question"
require "hotswap/metrics"
require "hotswap/runtime"

# Replaces the SQLite database of a running application, and takes consistent snapshots of it.
#
# In Rails the railtie does everything. Without Rails:
#
#   Hotswap.configure { |config| config.database_path = "db/app.sqlite3" }
#   Hotswap.on_disconnect { DB.disconnect }   # Sequel; Active Record needs no help
#   use Hotswap::Middleware
#   Hotswap.start
module Hotswap
  # Loaded by an application that mounts it.
  autoload :Dashboard, "hotswap/dashboard"

  @runtime = Runtime.new

  class << self
    # @api private
    # @return [Runtime] the state of this process
    attr_accessor :runtime

    # @return [Configuration] the settings
    def configuration
      runtime.configuration
    end

    # Changes settings.
    # @yieldparam configuration [Configuration]
    def configure
      yield configuration
      register_chosen
      configuration
    end

    # @return [Databases] the managed databases, in the order in which they were registered
    def databases
      runtime.databases
    end

    # Manages one more database.
    # @param path [String, Pathname] a relative path is resolved against the application's root. It may be a pattern,
    #   such as "storage/tenants/*/main.sqlite3"
    # @param name [String, nil] its name on the command line, such as "primary"
    # @param extensions [Array<#to_s>] extensions that its connections load; the checks of a pushed file load them, too
    # @return [Database]
    def register(path, name: nil, extensions: [])
      databases.register(path, name: name, extensions: extensions)
    end

    # @param path [String] any path that leads to a managed database, its name, or "database" for the first one
    # @return [Database, nil] nil for "-" and for paths that are not managed
    def find_database(path)
      databases.find(path)
    end

    # @return [String, nil] the absolute path of the first managed database
    def database_path
      databases.first&.path
    end

    # Manages this database and no other.
    def database_path=(path)
      databases.clear
      configuration.database_path = path
    end

    # @return [String] the absolute path of the server's socket
    def socket_path
      configuration.absolute_socket_path
    end

    # Sets another one, before {start}.
    # @param path [String, Pathname] a relative path is resolved against the application's root
    def socket_path=(path)
      configuration.socket_path = path
    end

    # @return [String] the absolute path of the server's socket for status lines and errors
    def stderr_socket_path
      configuration.absolute_stderr_socket_path
    end

    # Sets another one, before {start}.
    # @param path [String, Pathname, nil] as for {socket_path=}; nil means next to the other socket
    def stderr_socket_path=(path)
      configuration.stderr_socket_path = path
    end

    # @return [Logger] the log of pushes and pulls; stdout unless Rails or you set another one
    def logger
      runtime.logger
    end

    # Sets another one.
    # @param logger [Logger]
    def logger=(logger)
      runtime.logger = logger
    end

    # Registers a block that closes connections. In every process, hotswap calls it when a swap needs the connections
    # of a database closed. The gate is closed then and no unit is running. The block must not open new connections.
    # If it raises, the swap is refused.
    # @yieldparam database [Database] the database
    def on_disconnect(&block)
      runtime.connections.on_disconnect(&block)
    end

    # Registers a block to get a process ready for a swap. hotswap calls it in every process that has the database open,
    # before that process's gate closes. It runs in its own thread while requests go on. The swap waits for it for a
    # second at most. Its exceptions are logged, and do not stop the swap. A swap may still be refused after it.
    # @yieldparam database [Database] the database
    def before_swap(&block)
      runtime.before_swap.register(block)
    end

    # Registers a block to clear what a process remembers of the old database. hotswap calls it in every process that
    # has had the database open, after the database was replaced. It runs in its own thread while requests go on. Its
    # exceptions are logged. If a swap died or the disk failed in the last step, the block may be called once too
    # often, but never too rarely.
    # @yieldparam database [Database] the database
    def after_swap(&block)
      runtime.after_swap.register(block)
    end

    # Replaces a managed database by the source, as `hotswap cp` does. It needs no server.
    # @param source [String, Pathname, IO, #read] a file, or a stream such as an upload
    # @param to [String, Symbol, Database] the managed database; :primary is the first one
    # @param if_match [String, false] the {Result#identity} of a pull: the push fails if the database no longer has that
    #   content. nil is an error, because it would push without this guard
    # @param if_changed [Boolean] whether to swap nothing if the database already has the content of the source
    # @param dry_run [Boolean] whether to do everything up to the swap, and swap nothing; see {Result#dry_run}
    # @param max_shrink [String, Numeric, nil] the most that any table may lose of its rows, such as "50%"
    # @param only [Array<String>, String, false] the tables to push: names, patterns such as "tag*", or "@name" of a group
    #   in {Configuration#tables}. All other tables keep their rows, and what is written to them meanwhile. nil is an
    #   error, because it would push the whole database
    # @param except [Array<String>, String, false] all tables but these, likewise
    # @param allow_orphans [Boolean] whether rows may point to rows that are missing afterwards
    # @param probe [String, nil] a URL or a command that tells after the swap whether the application works
    # @param probe_timeout [Numeric, nil] how long that may take, in seconds
    # @param label [String, nil] what to call this push in the application's log and in the record of the database
    # @param stderr [IO, StringIO, nil] gets status lines and warnings
    # @return [Result] what the push did
    # @raise [RolledBack] if the probe failed, and the previous version is back
    # @raise [Changed] if the database no longer has the content that if_match names
    # @raise [Refused, Busy, Failed, UsageError, ServerNotFound] with the message that the command would print. Inside a
    #   request or a job, {Refused}: the push would wait for itself
    # @raise what the source raises while it is read; then nothing has changed
    def push(source, to: :primary, skip_integrity_check: false, skip_schema_check: false, in_place: nil, timeout: nil, max_pause: nil, if_match: false, if_changed: false, dry_run: false, max_shrink: nil, probe: nil, probe_timeout: nil, only: false, except: false, allow_orphans: false, label: nil, socket: nil, stderr: nil)
      Copy.new(to, skip_integrity_check:, skip_schema_check:, in_place:, timeout:, max_pause:, if_match:, if_changed:, dry_run:, max_shrink:, probe:, probe_timeout:, only:, except:, allow_orphans:, label:, socket:, stderr:).push(source)
    end

    # Writes a consistent snapshot of a managed database to the target, as `hotswap cp` does. It needs no server, and it
    # works inside requests and jobs.
    # @param database [String, Symbol, Database] the managed database; :primary is the first one
    # @param to [String, Pathname, IO, #write] a file, or a stream
    # @param only [Array<String>, String, false] the tables whose rows to pull: names, patterns such as "tag*", or
    #   "@name" of a group in {Configuration#tables}. All other tables are empty. nil is an error, because it would pull
    #   all rows
    # @param except [Array<String>, String, false] all tables but these, likewise
    # @param redacted [Boolean] whether to apply the rules of {Configuration#redact}
    # @param stderr [IO, StringIO, nil] gets warnings
    # @return [Result] what the pull did
    # @raise [Refused, Busy, Failed, UsageError, ServerNotFound] with the message that the command would print
    # @raise what the target raises while it is written to
    def pull(database = :primary, to:, only: false, except: false, redacted: false, socket: nil, stderr: nil)
      Copy.new(database, only:, except:, redacted:, socket:, stderr:).pull(to)
    end

    # Goes back to the version that the last push replaced, as `hotswap rollback` does. What this replaces becomes the
    # previous version, so a second rollback undoes the first. It needs no server.
    # @param database [String, Symbol, Database] the managed database; :primary is the first one
    # @param label [String, nil] what to call this rollback in the application's log and in the record of the database
    # @param stderr [IO, StringIO, nil] gets status lines and warnings
    # @return [Result] what the rollback did
    # @raise [Refused, Busy, Failed, UsageError, ServerNotFound] with the message that the command would print, as {push}
    def rollback(database = :primary, in_place: nil, timeout: nil, max_pause: nil, label: nil, socket: nil, stderr: nil)
      Copy.new(database, in_place:, timeout:, max_pause:, label:, socket:, stderr:).rollback
    end

    # The state of the managed databases, as `hotswap status --json` prints it (docs/json.md): their files, the last
    # push, the processes that have them open, and the commands that run now. It needs no server, changes nothing, and
    # delays no request.
    # @param database [String, Symbol, Database, nil] nil means all
    # @return [Hash] with symbols as keys
    # @raise [UsageError, Failed] with the message that the command would print
    def status(database = nil, socket: nil)
      Question.new("status", database, socket:).ask.first
    end

    # What commands did to the managed databases, as `hotswap log --json` prints it (docs/json.md).
    # @param database [String, Symbol, Database, nil] nil means all
    # @param newest [Integer, nil] how many entries; nil means all
    # @return [Array<Hash>] the entries with symbols as keys, the newest one last
    # @raise [UsageError, Failed] with the message that the command would print
    def log(database = nil, newest: nil, socket: nil)
      Question.new("log", database, lines: newest, socket:).ask
    end

    # The state of the managed databases for a monitoring system: counters of commands and of the time for which swaps
    # held requests, sizes, processes.
    # @return [String] OpenMetrics text
    # @raise [Failed] with the message that `hotswap status` would print
    def metrics
      runtime.metrics.text
    end

    # Runs the block without letting a push wait for the calling request or job. Use it in a stream that stays open.
    #
    #   loop do
    #     response.stream.write(Message.newest)
    #     Hotswap.release { sleep 1 }
    #   end
    #
    # Before the block, the caller's Active Record connections go back to their pools. After the block, pushes wait
    # for the request again. If a swap is running then, the request waits for it. You can use a database inside the
    # block: the swap waits for an open transaction, closes the connection between two statements, and makes a new
    # connection wait until the new database is in place. Outside requests and jobs, and inside another release, this
    # method only runs the block.
    # @return what the block returns
    # @raise [ReleaseRefused] in a transaction, or inside a block that holds a connection; the block did not run
    # @raise [GateTimeout] after the block, if the gate stays closed for longer than any swap may take
    def release(&block)
      raise ArgumentError, "Hotswap.release needs a block" unless block

      Release.run(&block)
    end

    # Serves `hotswap cp` from this process, unless another process of the application already does. Returns at once.
    # If hotswap cannot serve, it logs the reason.
    def start
      register_chosen
      runtime.server.start
    end

    # Stops serving, if this process serves.
    def stop
      runtime.server.stop
    end

    # Manages the databases that the settings name.
    # @api private
    def register_chosen
      configuration.chosen_databases.each { |path| register(path) }
    end
  end
end

require "hotswap/rails/railtie" if defined?(Rails::Railtie)
