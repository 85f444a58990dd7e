# frozen_string_literal: true

module Hotswap
  # Makes every use of a database of a pattern pass the gate of that database ({Gate.use}), if it goes through Active
  # Record.
  #
  # Relies on five methods of Active Record. `with_raw_connection` runs every statement, `checkout` leases every
  # connection, `connect` opens it, `raw_connection` hands the connection of the sqlite3 gem to the application, and
  # `disconnect` closes the connections of a pool that is removed. Read
  # in the sources of 7.2.2 and 8.1.4. If a version opens connections differently, hotswap takes them for connections of
  # the application's own, and a swap closes the gate of the process.
  module GatedUse
    # The folders of code that does not keep a connection of the sqlite3 gem.
    OWN = File.expand_path("..", __dir__) # steep:ignore

    # For the SQLite adapter.
    module Adapter
      # The caller may keep the connection, and use it in any unit.
      def raw_connection
        user = caller_locations(1, 1)&.first&.path
        super.tap do |connection|
          gate = connection.hotswap_gate
          Gate.use(gate, seen: false) if gate && !GatedUse.keeps_nothing?(user)
        end
      end

      private

      def with_raw_connection(...)
        gate = @raw_connection&.hotswap_gate
        Gate.use(gate) if gate
        super
      end

      def connect
        before, Thread.current[:hotswap_connecting] = Thread.current[:hotswap_connecting], true
        super.tap { @pool.hotswap_gate = @raw_connection&.hotswap_gate if @pool.respond_to?(:hotswap_gate=) }
      ensure
        Thread.current[:hotswap_connecting] = before
      end
    end

    # For Active Record's pools.
    module Pool
      # @return [Gate::OfDatabase, nil] the gate of the database to which the pool has opened a connection
      attr_accessor :hotswap_gate

      # A unit that has a connection uses the database, even if it has not run a statement yet.
      def checkout(...)
        Gate.use(hotswap_gate) if hotswap_gate
        super
      end

      # If the pool has been removed, the process may no longer need the database. It may have had no connection left.
      def disconnect(...)
        super.tap { hotswap_gate&.closed }
      end
    end

    class << self
      # Can be called again.
      def install
        return unless defined?(ActiveSupport) && ActiveSupport.respond_to?(:on_load)
        return if @installed

        @installed = true
        ActiveSupport.on_load(:active_record_sqlite3adapter) do
          prepend Adapter
          ActiveRecord::ConnectionAdapters::ConnectionPool.prepend(Pool)
        end
      end

      # @return [Boolean] whether Active Record is opening a connection for the caller
      def connecting? = Thread.current[:hotswap_connecting] || false

      # @param path [String, nil] the file of the code that asked for the connection
      def keeps_nothing?(path)
        path.to_s.start_with?(OWN) || path.to_s.include?("/active_record/connection_adapters/")
      end
    end
  end
end
