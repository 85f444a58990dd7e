# frozen_string_literal: true

module Hotswap
  # Makes every use of a database of a pattern pass the gate of that database ({Gate.use}), if it goes through Active
  # Record.
  #
  # Relies on five methods of Active Record. `with_raw_connection` runs every statement, `checkout` leases every
  # connection, `connect` opens it, `raw_connection` hands the connection of the sqlite3 gem to the application, and
  # `disconnect` closes the connections of a pool that is removed. Read in the sources of 7.1.6, 7.2.2, 8.0.5.1 and
  # 8.1.4. If a version opens connections differently, hotswap takes them for connections of the application's own, and
  # a swap closes the gate of the process.
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
        super.tap do
          @pool.hotswap_gate = @raw_connection&.hotswap_gate if @pool.respond_to?(:hotswap_gate=)
          GatedUse.close_after(self, @raw_connection) if @raw_connection&.hotswap_gate && GatedUse.astray?(self)
        end
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

      # @return [Boolean] whether the pool of the adapter was removed while a thread used the adapter
      def astray?(adapter) = adapter.pool.respond_to?(:connections) && !adapter.pool.connections&.include?(adapter)

      # Closes a connection when its adapter is garbage. The adapter may still have prepared statements. If the garbage
      # collector frees the connection before them, the sqlite3 gem before version 2 leaves the file open for good, and
      # pushes then go in place.
      def close_after(adapter, connection)
        open = adapter.instance_variable_get(:@hotswap_open) || adapter.instance_variable_set(:@hotswap_open, []).tap do |list|
          ObjectSpace.define_finalizer(adapter, closing(list, Process.pid))
        end
        open.reject!(&:closed?)
        open << connection
      end

      # @return [Boolean] whether Active Record is opening a connection for the caller
      def connecting? = Thread.current[:hotswap_connecting] || false

      # @param path [String, nil] the file of the code that asked for the connection
      def keeps_nothing?(path)
        path.to_s.start_with?(OWN) || path.to_s.include?("/active_record/connection_adapters/")
      end

      private

      # A forked child must not close a connection of its parent. The block refers to the connections, and not to their
      # adapter, which could otherwise never become garbage.
      def closing(connections, pid)
        lambda do |_|
          connections.each { |connection| connection.close unless connection.closed? } if pid == Process.pid
        rescue SQLite3::Exception
          nil # A statement is in use, and keeps the connection.
        end
      end
    end
  end
end
