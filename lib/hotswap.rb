# frozen_string_literal: true

require "logger"
require "hotswap/version"
require "hotswap/errors"
require "hotswap/native"
require "hotswap/file_name"
require "hotswap/configuration"
require "hotswap/log"
require "hotswap/database"
require "hotswap/databases"
require "hotswap/gate"
require "hotswap/connections"
require "hotswap/after_swap"
require "hotswap/membership"
require "hotswap/fork_hook"
require "hotswap/release"
require "hotswap/host"
require "hotswap/server"
require "hotswap/daemon"
require "hotswap/middleware"
require "hotswap/cli"

# Replaces the SQLite database of a running application, and takes consistent snapshots of it.
#
# In Rails the railtie does everything. Without Rails:
#
#   Hotswap.configure { |config| config.database_path = "db/app.sqlite3" }
#   Hotswap.on_disconnect { DB.disconnect }   # Sequel; Active Record needs no help
#   use Hotswap::Middleware
#   Hotswap.start
module Hotswap
  class << self
    # @return [Configuration] the settings, see there
    def configuration
      @configuration ||= Configuration.new
    end

    # Changes settings.
    # @yieldparam configuration [Configuration]
    def configure
      yield configuration
      register_chosen
      configuration
    end

    # @return [Databases] the managed databases, the first one first
    def databases
      @databases ||= Databases.new
    end

    # Manages one more database.
    # @param path [String, Pathname] relative paths are relative to the application's root
    # @param name [String, nil] what the command line may call it, such as "primary"
    # @param extensions [Array<#to_s>] what its connections load, so that a pushed file is checked with it
    # @return [Database]
    def register(path, name: nil, extensions: [])
      databases.register(path, name: name, extensions: extensions)
    end

    # @param path [String] any path that leads to a managed database, its name, or "database" for the first
    # @return [Database, nil] nil for "-" and for paths that are not managed
    def find_database(path)
      databases.find(path)
    end

    # @return [String, nil] the path of the first managed database
    def database_path
      databases.first&.path
    end

    # Manages this database and no other.
    def database_path=(path)
      configuration.database_path = path
      databases.clear
      register(path) if path
    end

    # @return [String] where the server's socket lies, absolute
    def socket_path
      configuration.absolute_socket_path
    end

    # @return [String] where its socket for status and errors lies, absolute
    def stderr_socket_path
      configuration.absolute_stderr_socket_path
    end

    # @return [Logger] where the life of a swap is told; stdout unless Rails or you set another
    def logger
      @logger ||= default_logger
    end

    attr_writer :logger

    # Has the block called, in every process, when the connections of a database have to be closed for a swap.
    # Called with the gate closed and nothing running; it must not open new ones. Raising refuses the swap.
    # @yieldparam database [Database] which one
    def on_disconnect(&block)
      Connections.on_disconnect(&block)
    end

    # Has the block called, in every process that has had the database open, when it has been replaced: to drop
    # what the process remembers of the old one. Called in a thread of its own, with requests going on. What it
    # raises is logged. Called once too often where a swap died, or the disk failed, in its last step, and never too seldom.
    # @yieldparam database [Database] which one
    def after_swap(&block)
      AfterSwap.register(block)
    end

    # Runs the block without letting a push wait for the calling request or job. Use it in a stream that stays open.
    #
    #   loop do
    #     response.stream.write(Message.newest)
    #     Hotswap.release { sleep 1 }
    #   end
    #
    # Before the block, the caller's Active Record connections go back to their pools. After the block, pushes wait for the request
    # again. If a swap is running then, the request waits for it. You can use a database inside the block: the swap waits for
    # an open transaction, closes the connection between two statements, and makes a new connection wait until the new database
    # is in place. Outside requests and jobs, and inside another release, this method only runs the block.
    # @return what the block returns
    # @raise [ReleaseRefused] in a transaction, or inside a block that holds a connection; the block did not run
    # @raise [GateTimeout] after the block, if the gate stays closed for longer than any swap may take
    def release(&block)
      raise ArgumentError, "Hotswap.release needs a block" unless block

      Release.run(&block)
    end

    # Serves `hotswap cp` from this process, or from another one of the application that does already. Returns
    # at once; what keeps it from serving is logged.
    def start
      register_chosen
      Server.start
    end

    # Stops serving, if this process does.
    def stop
      Server.stop
    end

    private

    def register_chosen
      configuration.chosen_databases.each { |path| register(path) }
    end

    def default_logger
      Logger.new($stdout, progname: Log::PROGRAM)
    end
  end
end

require "hotswap/railtie" if defined?(Rails::Railtie)
