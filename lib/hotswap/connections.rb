# frozen_string_literal: true

require "sqlite3"

module Hotswap
  # The connections of this process to managed databases: closed for a swap, by whoever opened them.
  #
  # Active Record's are closed here, with the raising form of `disconnect`: the other one turns the rest of a
  # transaction that is under way into writes of their own, into the new file. All others have to be closed by
  # a block given to {Hotswap.on_disconnect}; one that stays open refuses the swap.
  module Connections
    # Sees every connection of the sqlite3 gem, whoever opens it.
    module Guard
      # @return [String, nil] the managed database that it was opened to, every symlink resolved
      attr_reader :hotswap_path

      def initialize(file, *arguments, **options, &block)
        if (database = Hotswap.databases.opened_as(file.to_s))
          Membership.opening(database) do
            super
            @hotswap_path = database.resolved_path
            Connections.track(self)
          end
        else
          super
        end
      end
    end

    # Its values are weak as well, so that what is to be known of a connection has to be with the connection.
    @opened = ObjectSpace::WeakMap.new
    @blocks = []

    class << self
      # Sees to it that every connection is noticed. Called once, when hotswap is loaded.
      def watch
        SQLite3::Database.prepend(Guard) unless SQLite3::Database < Guard
      end

      # See {Hotswap.on_disconnect}.
      def on_disconnect(&block)
        raise ArgumentError, "on_disconnect wants a block" unless block

        @blocks << block
      end

      # For {Guard} only.
      def track(connection)
        @opened[connection] = true
      end

      # Closes every connection of this process to the database.
      # @param timeout [Float] seconds
      # @raise [DisconnectRefused] with what is open still
      def disconnect(database, timeout)
        disconnect_active_record(database, timeout) if active_record?
        @blocks.each { |block| block.call(database) }
        # A connection that nobody refers to any more is closed by the collector. Looked for on another stack, for
        # what is left of a list of them on this one would refer to it.
        GC.start if Fiber.new { open_to(database).any? }.resume
        left = open_to(database)
        return if left.empty?

        raise DisconnectRefused, "#{left.size} connection#{"s" if left.size > 1} to #{database.label} opened with " \
          "SQLite3::Database.new #{(left.size > 1) ? "are" : "is"} open; close it in a block given to Hotswap.on_disconnect"
      end

      # Forgets what Active Record remembers of the database's schema.
      def refresh(database)
        return unless active_record?

        pools = pools_of(database)
        pools.each { |pool| pool.schema_reflection.clear! }
        ActiveRecord::Base.descendants.each do |model|
          next if model.abstract_class? || !pools.include?(pool_of(model))

          model.reset_column_information
        end
        pools.each(&:release_connection)
      end

      private

      # An application that has Active Record among its gems and does not use it has not loaded it.
      def active_record?
        defined?(ActiveRecord) && ActiveRecord.respond_to?(:autoload?) && !ActiveRecord.autoload?(:Base) && defined?(ActiveRecord::Base)
      end

      def open_to(database)
        path = database.resolved_path
        @opened.keys.select { |connection| connection.hotswap_path == path && !connection.closed? }
      end

      def pools_of(database)
        resolved = database.resolved_path
        ActiveRecord::Base.connection_handler.connection_pool_list(:all).select do |pool|
          next unless pool.db_config.adapter == "sqlite3"

          path = Database.absolute_path(pool.db_config.database)
          path && Database.resolve(path) == resolved
        end
      end

      def pool_of(model)
        model.connection_pool
      rescue ActiveRecord::ActiveRecordError
        nil # A model without a database has nothing to forget.
      end

      def disconnect_active_record(database, timeout)
        pools_of(database).each do |pool|
          resting = pool.connections.select { |connection| resting?(connection) }
          next disconnect_pool(pool, database, timeout) if resting.empty?

          resting.each(&:disconnect!)
          pool.flush!
          busy = pool.connections.find { |connection| connection.in_use? && !resting.include?(connection) }
          raise DisconnectRefused, in_use(database, "by #{busy.owner.inspect}") if busy
        end
      end

      def disconnect_pool(pool, database, timeout)
        # It waits for twice as long as this before it gives up on connections that are in use.
        patience = pool.checkout_timeout
        pool.checkout_timeout = timeout / 4
        pool.disconnect
      rescue ActiveRecord::ActiveRecordError => error
        raise DisconnectRefused, in_use(database, error.message.lines.first&.strip)
      ensure
        pool.checkout_timeout = patience if patience
      end

      def in_use(database, how)
        "a connection to #{database.label} is in use outside of any request or job: #{how}"
      end

      # A thread that asked for a connection outside of any request, such as a server's main thread at boot or a
      # console, keeps it for good. While it does nothing with it the connection can be closed all the same, and
      # opens itself again; the thread keeps it, so that it is closed again next time.
      def resting?(connection)
        owner = connection.owner
        return false if owner.nil? || !owner.alive? || connection.transaction_open?
        # Between two statements, and not in the middle of one that waits for a lock.
        return false unless owner.backtrace&.none? { |frame| frame.match?(%r{/active_record/|/sqlite3[/-]}) }

        !connection.active? || !connection.raw_connection.transaction_active?
      end
    end

    watch
  end
end
