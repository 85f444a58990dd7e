# frozen_string_literal: true

module Hotswap
  # Has no connection go into a forked child, where that is possible.
  #
  # A connection that a child inherits works without locks there, cannot be closed, and keeps the file open for
  # as long as the child lives: no swap could prove that nobody is left. The sqlite3 gem closes it in the child
  # from 2.1 on. Before that it has to be closed in the parent, which opens another one when it needs it.
  module ForkHook
    def _fork
      ForkHook.close_connections
      super
    end

    class << self
      def close_connections
        return unless defined?(ActiveRecord::Base) && Hotswap.databases.any?

        ActiveRecord::Base.connection_handler.connection_pool_list(:all).each do |pool|
          close_connections_of(pool) if Hotswap.databases.opened_as(pool.db_config.database.to_s)
        end
      rescue => error
        # What stays open refuses a swap later, and by name; it must not keep anybody from forking now.
        Log.debug("connections stay open over a fork: #{error.message}")
      end

      private

      def close_connections_of(pool)
        pool.flush!
        own = pool.active_connection?
        # It is opened again by its next query. In a transaction it is somebody's, and stays.
        own.disconnect! if own && !in_transaction?(own)
      end

      # Also one that was begun behind Active Record's back.
      def in_transaction?(connection)
        connection.transaction_open? || (connection.active? && connection.raw_connection.transaction_active?)
      end
    end

    Process.singleton_class.prepend(self) unless SQLite3.const_defined?(:ForkSafety)
  end
end
