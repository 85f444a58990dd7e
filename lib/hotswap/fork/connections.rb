# frozen_string_literal: true

module Hotswap
  # Keeps connections out of forked children, as far as possible.
  #
  # A connection that a child inherits works without locks there, cannot be closed, and keeps the file open for as
  # long as the child lives. No swap could prove that no process has the file open. From 2.1 on the sqlite3 gem
  # closes it in the child. Before that it has to be closed in the parent, which opens another one when it needs it.
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
        # A connection that stays open refuses a later swap, which names this process. It must not prevent the fork
        # now.
        Log.debug("connections stay open over a fork: #{error.message}")
      end

      private

      def close_connections_of(pool)
        pool.flush!
        own = pool.active_connection?
        # Its next query opens it again. In a transaction it is in use, and stays open.
        own.disconnect! if own && !in_transaction?(own)
      end

      # Also detects a transaction that was begun without Active Record.
      def in_transaction?(connection)
        connection.transaction_open? || (connection.active? && connection.raw_connection.transaction_active?)
      end
    end

    Process.singleton_class.prepend(self) unless SQLite3.const_defined?(:ForkSafety)
  end
end
