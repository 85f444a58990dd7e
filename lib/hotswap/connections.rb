# frozen_string_literal: true

require "sqlite3"
require "hotswap/connections/active_record"
require "hotswap/connections/gated_use"

module Hotswap
  # The connections of this process to managed databases. The code that opened them closes them for a swap.
  #
  # {ActiveRecordConnections} closes Active Record's. All others have to be closed by a block given to
  # {Hotswap.on_disconnect}; a connection that stays open refuses the swap.
  class Connections
    # Sees every connection of the sqlite3 gem, no matter which code opens it.
    module Guard
      # @return [Database, nil] the managed database that the connection was opened to
      attr_reader :hotswap_database
      # @return [String, nil] the path of that database at the time, with every symlink resolved
      attr_reader :hotswap_path
      # @return [Gate::OfDatabase, nil] the gate of that database, if it has one
      attr_reader :hotswap_gate

      def initialize(file, *arguments, **options, &block)
        if (database = Hotswap.databases.opened_as(file.to_s)) && !database.objection
          # The gem takes the name of a VFS as the argument after its options.
          objection = FileUri.objection(file.to_s, arguments[1])
          Hotswap.runtime.membership.opening(database, objection: objection, seen: GatedUse.connecting?) do |gate|
            super
            @hotswap_gate = gate
            @hotswap_database = database
            @hotswap_path = database.resolved_path
            Hotswap.runtime.connections.track(self)
          end
        else
          super
        end
      end

      def close
        super.tap { hotswap_gate&.closed }
      end
    end

    SQLite3::Database.prepend(Guard)

    def initialize
      # The map's values are weak as well, so facts about a connection have to be stored in the connection.
      @opened = ObjectSpace::WeakMap.new
      @blocks = []
    end

    # See {Hotswap.on_disconnect}.
    def on_disconnect(&block)
      raise ArgumentError, "on_disconnect needs a block" unless block

      @blocks << block
    end

    # For {Guard} only.
    def track(connection)
      @opened[connection] = true
    end

    # Closes every connection of this process to the database.
    # @param timeout [Float] in seconds
    # @raise [DisconnectRefused] with the connections that are still open
    def disconnect(database, timeout)
      ActiveRecordConnections.disconnect(database, timeout) if ActiveRecordConnections.loaded?
      refuse_in_transaction(database)
      @blocks.each { |block| block.call(database) }
      # This search and the next one run on another stack. On this one, the remains of a list of connections would refer
      # to them, and the garbage collector would keep them.
      Fiber.new { disconnect_astray(database, timeout) }.resume
      # The garbage collector closes connections that nothing refers to, and only it knows which. It takes about 70 ms
      # for a million objects, but runs only if the swap would be refused otherwise.
      GC.start if Fiber.new { open_to(database).any? }.resume
      left = open_to(database)
      return if left.empty?

      several = left.size > 1
      raise DisconnectRefused, "has #{left.size} connection#{"s" if several} to #{database.label} open that #{several ? "were" : "was"} " \
        "opened with SQLite3::Database.new; close #{several ? "them" : "it"} in a block given to Hotswap.on_disconnect"
    end

    # What this process needs the database for.
    # @return [String, nil] "pool", if Active Record opens a connection when it is needed; "connection", if one is open that
    #   belongs to no pool, as a thread leaves it behind that has leased it while its pool was removed
    def what_keeps(database)
      return "pool" if ActiveRecordConnections.loaded? && ActiveRecordConnections.pool_for?(database)

      "connection" if Fiber.new { open_to(database).any? }.resume
    end

    # Clears the cached schema of the database.
    def refresh(database)
      ActiveRecordConnections.refresh(database) if ActiveRecordConnections.loaded?
    end

    private

    def disconnect_astray(database, timeout)
      open = open_to(database)
      ActiveRecordConnections.disconnect_astray(open, database, timeout) if open.any? && ActiveRecordConnections.loaded?
    end

    # If an on_disconnect block closed a connection during a transaction, SQLite would roll the transaction back,
    # and the code that opened it would get no error. The garbage collector closes connections that nothing refers
    # to.
    def refuse_in_transaction(database)
      return unless in_transaction?(database)

      GC.start
      return unless in_transaction?(database)

      raise DisconnectRefused, "has a transaction open on #{database.label}, on a connection that was opened with " \
        "SQLite3::Database.new, outside of any request or job"
    end

    # Runs on another stack, as in {disconnect}.
    def in_transaction?(database)
      Fiber.new { open_to(database).any?(&:transaction_active?) }.resume
    end

    def open_to(database)
      path = database.resolved_path
      @opened.keys.select do |connection|
        # Compares the database, too: a symlink may have led elsewhere when the connection was opened.
        (connection.hotswap_path == path || connection.hotswap_database.equal?(database)) && !connection.closed?
      end
    end
  end
end
