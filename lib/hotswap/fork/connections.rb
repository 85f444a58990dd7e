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
        ActiveRecordConnections.close_own if ActiveRecordConnections.loaded? && Hotswap.databases.any?
      rescue => error
        # A connection that stays open refuses a later swap, which names this process. It must not prevent the fork
        # now.
        Log.debug("connections stay open over a fork: #{error.message}")
      end
    end

    Process.singleton_class.prepend(self) unless SQLite3.const_defined?(:ForkSafety)
  end
end
