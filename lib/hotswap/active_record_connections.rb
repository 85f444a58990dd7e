# frozen_string_literal: true

require "monitor"

module Hotswap
  # Active Record's connections of this process to managed databases.
  #
  # A connection is closed only while no transaction is open on it: what closes it in the middle of one turns the
  # rest of the transaction into writes of their own, into the new file.
  module ActiveRecordConnections
    OUTSIDE = "outside of any request or job"
    RELEASE = File.join(__dir__, "release.rb")

    class << self
      # @return [Boolean] whether there is any: an application may have Active Record among its gems and not use it
      def loaded?
        defined?(ActiveRecord) && ActiveRecord.respond_to?(:autoload?) && !ActiveRecord.autoload?(:Base) && defined?(ActiveRecord::Base)
      end

      # Closes all that lead to the database. Called with the gate sealed: none can be opened meanwhile.
      # @param timeout [Float] seconds, of which half are spent on connections that are in use
      # @raise [DisconnectRefused] with what is in use still
      def disconnect(database, timeout)
        deadline = Gate.now + timeout / 2.0
        pools_of(database).each { |pool| disconnect_pool(pool, database, deadline) }
      end

      # Gives the caller's connections to managed databases back to their pools.
      # @raise [ReleaseRefused] if a transaction is open on one of them; in that case no connection is given back
      def let_go
        pools = pools_in_use.reject { |pool| in_test?(pool) }
        pools.each { |pool| refuse_release_in_transaction(pool) }
        pools.each(&:release_connection)
      end

      # Forgets what Active Record remembers of the database's schema.
      def refresh(database)
        pools = pools_of(database)
        pools.each { |pool| pool.schema_reflection.clear! }
        ActiveRecord::Base.descendants.each do |model|
          next if model.abstract_class? || !pools.include?(pool_of(model))

          model.reset_column_information
        end
        pools.each(&:release_connection)
      end

      private

      # The pools of managed databases that the caller has a connection of.
      def pools_in_use
        ActiveRecord::Base.connection_handler.connection_pool_list(:all).select do |pool|
          next unless pool.active_connection? && pool.db_config.adapter == "sqlite3"

          # Active Record looks for the file below the application's root, whatever the current folder is.
          path = Database.absolute_path(pool.db_config.database)
          path && Hotswap.databases.opened_as(path)
        end
      end

      # A test with transactional fixtures opens a transaction of its own, and keeps its connection.
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
        ActiveRecord::Base.connection_handler.connection_pool_list(:all).select do |pool|
          next unless pool.db_config.adapter == "sqlite3"

          path = Database.absolute_path(pool.db_config.database)
          # Requests wait while this runs, and there may be thousands of pools. So it resolves only the paths that may match.
          may_lead_there = path && (File.basename(path) == File.basename(resolved) || File.symlink?(path))
          may_lead_there && Database.resolve(path) == resolved
        end
      end

      def pool_of(model)
        model.connection_pool
      rescue ActiveRecord::ActiveRecordError
        nil # A model without a database has nothing to forget.
      end

      def disconnect_pool(pool, database, deadline)
        close_idle(pool, database)
        while (busy = pool.connections.find { |connection| !close_resting(connection, database) })
          refuse("runs a query on #{database.label} in #{whereabouts(busy.owner)}") if Gate.now > deadline

          sleep 0.001
          close_idle(pool, database)
        end
      end

      # Those that no thread has. One may have been given back with a transaction, as a console's sandbox does.
      def close_idle(pool, database)
        pool.synchronize do
          idle = pool.connections.reject(&:in_use?)
          refuse("has a transaction open on #{database.label}, #{OUTSIDE}") if idle.any? { |connection| in_transaction?(connection) }

          pool.flush!
        end
      end

      # A thread that asked for a connection outside of any request, such as a server's main thread at boot or a
      # console, keeps it for good. While it does nothing with it the connection can be closed all the same, and
      # opens itself again; the thread keeps it, so that it is closed again next time.
      # @return [Boolean] whether it is closed now
      def close_resting(connection, database)
        return true unless connection.active?

        while_resting(connection) do
          refuse("has a transaction open on #{database.label} in #{whereabouts(connection.owner)}") if in_transaction?(connection)

          connection.disconnect!
          true
        end
      end

      # Runs the block unless the connection's thread is doing something with it; it can begin nothing meanwhile.
      def while_resting(connection)
        # Active Record asks for this lock wherever it uses the connection, and has none outside of tests. Whoever
        # did so before can be seen in its backtrace, whoever does so from here on waits.
        before = connection.lock
        lock = Monitor.new
        connection.instance_variable_set(:@lock, lock)
        return false if using?(connection.owner) || !lock.try_enter

        begin
          yield
        ensure
          lock.exit
        end
      ensure
        connection.instance_variable_set(:@lock, before)
      end

      # In the middle of a statement, or of a block of Active Record's; what of it measures requests is around all of
      # them, and around what they fork. True without an owner as well: the connection has just been given back.
      def using?(owner)
        return true unless owner&.alive?

        frames = owner.backtrace or return true
        # Hotswap.release has made sure that the frames around it hold no connection. Rails' middleware is among them.
        frames = frames.take_while { |frame| !frame.include?(RELEASE) } if owner.is_a?(Thread) && Gate.released_unit(owner)
        frames.any? { |frame| frame.b.match?(%r{/active_record/(?!railties/)|/sqlite3[/-]}) }
      end

      # Also in one that was begun behind Active Record's back.
      def in_transaction?(connection)
        connection.transaction_open? || (connection.active? && connection.raw_connection.transaction_active?)
      end

      def whereabouts(owner)
        released = Gate.released_unit(owner) if owner.is_a?(Thread)
        return "#{Gate.describe(released.source)}, inside Hotswap.release" if released
        return "the main thread, #{OUTSIDE}" if owner == Thread.main

        "#{(owner.is_a?(Thread) && owner.name) ? "the thread #{owner.name}" : "a thread without a name"}, #{OUTSIDE}"
      end

      # @param what [String] the end of a sentence about this process
      def refuse(what)
        raise DisconnectRefused, what
      end
    end
  end
end
