# frozen_string_literal: true

require "hotswap/connections/kept_connection"

module Hotswap
  # Active Record's connections of this process to managed databases.
  #
  # A connection is closed only while no transaction is open on it. Closing it in the middle of one would turn the
  # rest of the transaction into separate writes to the new file.
  module ActiveRecordConnections
    OUTSIDE = "outside of any request or job"

    class << self
      # @return [Boolean] whether the application uses Active Record; it may have the gem without using it
      def loaded?
        defined?(ActiveRecord) && ActiveRecord.respond_to?(:autoload?) && !ActiveRecord.autoload?(:Base) && defined?(ActiveRecord::Base)
      end

      # Closes all connections to the database. Called with the gate sealed, so that no new one can be opened.
      # @param timeout [Float] in seconds; half of it is for connections that are in use
      # @raise [DisconnectRefused] with the connections that are still in use
      def disconnect(database, timeout)
        deadline = Gate.now + timeout / 2.0
        pools_of(database).each { |pool| disconnect_pool(pool, database, deadline) }
      end

      # Closes connections that Active Record has opened, but that are in no pool of the database. Code of the
      # application keeps such an adapter after its pool was removed, or created it without a pool. The adapter's next
      # use opens the connection again.
      # @param connections [Array<SQLite3::Database>] those that are open
      # @param timeout [Float] in seconds; half of it is for connections that are in use
      # @raise [DisconnectRefused] with the connections that are still in use
      def disconnect_astray(connections, database, timeout)
        deadline = Gate.now + timeout / 2.0
        adapters = adapters_of(connections)
        until adapters.all? { |adapter| close_resting(adapter, database, users: threads_outside) }
          refuse("runs a query on #{database.label} through a connection whose pool was removed, #{OUTSIDE}") if Gate.now > deadline

          sleep 0.001
        end
      end

      # The file that a pool opens. Active Record resolves a relative path against the application's root, not against
      # the current folder.
      # @param config [ActiveRecord::DatabaseConfigurations::DatabaseConfig]
      # @return [String, nil] its absolute path; nil if it is in memory, or of another kind than SQLite
      def file_of(config)
        Database.absolute_path(config.database) if config.adapter.to_s.include?("sqlite")
      end

      # Closes the idle connections to managed databases, and the caller's own. The caller's next query opens its
      # connection again. A connection in a transaction is in use, and stays open.
      def close_own
        pools.each do |pool|
          next unless managed?(pool)

          pool.flush!
          own = pool.active_connection?
          own.disconnect! if own && !in_transaction?(own)
        end
      end

      # Returns the caller's connections to managed databases to their pools.
      # @raise [ReleaseRefused] if a transaction is open on one of them; then no connection is returned
      def let_go
        in_use = pools.select { |pool| pool.active_connection? && managed?(pool) }.reject { |pool| in_test?(pool) }
        in_use.each { |pool| refuse_release_in_transaction(pool) }
        in_use.each(&:release_connection)
      end

      # @return [Array<String>] the resolved paths of the managed databases on which the caller has a transaction open
      def own_transactions
        open = pools.select { |pool| (own = pool.active_connection?) && managed?(pool) && in_transaction?(own) }
        open.filter_map { |pool| file_of(pool.db_config) }.map { |path| Database.resolve(path) }
      end

      # @return [Boolean] whether the caller has a transaction open on any database
      def caller_in_transaction? = pools.any? { |pool| pool.active_connection?&.transaction_open? }

      # @return [Boolean] whether a pool opens connections to the database when they are needed
      def pool_for?(database) = pools_of(database).any?

      # Clears Active Record's cached schema of the database. The columns of a model may come from a pool that is gone, so
      # all models forget theirs. Models of other databases find them in the cached schema of their pool.
      # @raise the first error of a model, after all others have forgotten their columns
      def refresh(database)
        pools_of(database).each { |pool| pool.schema_reflection.clear! }
        error = ActiveRecord::Base.descendants.filter_map { |model| error_of { forget_columns(model) unless model.abstract_class? } }.first
        raise error if error
      end

      private

      def pools = ActiveRecord::Base.connection_handler.connection_pool_list(:all)

      def managed?(pool)
        path = file_of(pool.db_config)
        path && Hotswap.databases.opened_as(path)
      end

      # A test with transactional fixtures opens its own transaction, and keeps its connection.
      def in_test?(pool)
        connection = pool.active_connection?
        connection.transaction_open? && !connection.current_transaction.joinable?
      end

      def refuse_release_in_transaction(pool)
        return unless in_transaction?(pool.active_connection?)

        raise ReleaseRefused, "Hotswap.release was called while a transaction is open on #{pool.db_config.database}. Commit the " \
          "transaction or roll it back first"
      end

      def pools_of(database)
        resolved = database.resolved_path
        pools.select do |pool|
          path = file_of(pool.db_config)
          # Requests wait while this runs, and there may be thousands of pools. So this resolves only the paths that
          # may match.
          path && (File.basename(path) == File.basename(resolved) || File.symlink?(path)) && Database.resolve(path) == resolved
        end
      end

      # Does what `reset_column_information` does. That method needs a pool, and opens a connection.
      def forget_columns(model)
        model.undefine_attribute_methods
        model.send(:reload_schema_from_cache, false)
        model.initialize_find_by_cache
      end

      def error_of
        yield
        nil
      rescue StandardError, ScriptError => error
        error
      end

      # The threads that may be using a connection to the database. Threads of a unit cannot be: the gate is sealed.
      def threads_outside = Thread.list.reject { |thread| thread == Thread.current || thread[:hotswap_unit]&.inside? }

      # Searches the heap, because a list of all adapters would cost every application something. This takes about 14 ms
      # for a million objects, and runs only if the swap would be refused otherwise.
      def adapters_of(connections)
        ObjectSpace.each_object(ActiveRecord::ConnectionAdapters::SQLite3Adapter).select do |adapter|
          connection = adapter.instance_variable_get(:@raw_connection)
          connection && connections.any? { |open| open.equal?(connection) }
        end
      end

      def disconnect_pool(pool, database, deadline)
        close_idle(pool, database)
        while (busy = pool.connections.find { |connection| !close_resting(connection, database) })
          refuse("runs a query on #{database.label} in #{whereabouts(busy.owner)}") if Gate.now > deadline

          sleep 0.001
          close_idle(pool, database)
        end
      end

      # Closes the connections that no thread has. One may have been returned with an open transaction, as a
      # console's sandbox does.
      def close_idle(pool, database)
        pool.synchronize do
          idle = pool.connections.reject(&:in_use?)
          refuse("has a transaction open on #{database.label}, #{OUTSIDE}") if idle.any? { |connection| in_transaction?(connection) }

          pool.flush!
        end
      end

      # A thread that took a connection outside of any request, such as a server's main thread at boot or a console,
      # keeps it for good. While the thread does not use the connection, it can be closed: it reopens itself. The
      # thread keeps it, so the next swap closes it again.
      # @param users [Array<Thread, nil>] the threads that may be using it
      # @return [Boolean] whether it is closed now
      def close_resting(connection, database, users: [connection.owner])
        return true unless connection.active?

        KeptConnection.while_resting(connection, users) do
          refuse("has a transaction open on #{database.label} in #{whereabouts(connection.owner)}") if in_transaction?(connection)

          connection.disconnect!
          true
        end
      end

      # Also detects a transaction that was begun without Active Record.
      def in_transaction?(connection)
        connection.transaction_open? || (connection.active? && connection.raw_connection.transaction_active?)
      end

      def whereabouts(owner)
        released = Gate.released_unit(owner) if owner.is_a?(Thread)
        return "#{Gate.describe(released.source)}, inside Hotswap.release" if released
        return "the main thread, #{OUTSIDE}" if owner == Thread.main

        "#{(owner.is_a?(Thread) && owner.name) ? "the thread #{owner.name}" : "a thread without a name"}, #{OUTSIDE}"
      end

      # @param what [String] the end of a sentence that begins with the name of this process
      def refuse(what)
        raise DisconnectRefused, what
      end
    end
  end
end
