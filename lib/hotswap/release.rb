# frozen_string_literal: true

module Hotswap
  # See {Hotswap.release}.
  module Release
    # Methods in these files yield a connection and use it after the block ends. query_cache.rb is an exception: its
    # blocks hold no connection.
    HOLDERS = %r{/active_record/connection_adapters/(?!abstract/query_cache\.rb)|/sqlite3/(?:database|statement|resultset)\.rb}

    class << self
      # Runs the block outside the gate, if the caller is inside.
      # @raise [ReleaseRefused] before the block; then nothing has changed
      def run(&block)
        unit = Gate.current_unit
        return yield unless unit

        refuse_inside_a_holder
        let_go
        begin
          unit.outside(&block)
        ensure
          forget_queries
        end
      end

      private

      def refuse_inside_a_holder
        frame = caller(3)&.find { |line| line.match?(HOLDERS) }
        return unless frame

        raise ReleaseRefused, "Hotswap.release was called inside a block that holds a database connection, such as transaction or " \
          "with_connection (#{frame[/\A[^:]+:\d+/]}). Call it outside of that block"
      end

      def let_go
        return unless ActiveRecordConnections.loaded?

        ActiveRecordConnections.let_go
        forget_queries
      end

      # The query cache holds rows of the old database.
      def forget_queries
        ::ActiveRecord::Base.clear_query_caches_for_current_thread if ActiveRecordConnections.loaded?
      end
    end
  end
end
