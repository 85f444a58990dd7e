# frozen_string_literal: true

module Hotswap
  # What the application does in each of its processes once a database has been replaced: drop what it remembers
  # of the old one.
  #
  # The blocks run in a thread of their own, with requests going on. The thread that closes connections must not
  # wait for them, nor may the swap.
  module AfterSwap
    @blocks = []
    @one_swap_after_the_other = Mutex.new

    class << self
      # What the blocks run in, such as Rails' reloader.
      # @return [#wrap, nil]
      attr_accessor :surroundings

      # See {Hotswap.after_swap}.
      def register(block)
        raise ArgumentError, "after_swap wants a block" unless block

        @blocks << block
      end

      def any?
        @blocks.any?
      end

      # Runs the blocks, and returns at once.
      # @param database [Database]
      # @return [Thread, nil]
      def run_beside(database)
        return unless any?

        thread = Thread.new { @one_swap_after_the_other.synchronize { run(database) } }
        thread.name = "hotswap-after-swap"
        thread.thread_variable_set(:fork_safe, true)
        thread
      end

      private

      # A unit of work like any other: the next swap lets it come to its end, and names it if it does not.
      def run(database)
        Gate.pass("after_swap of #{database.label}") do
          @blocks.each { |block| run_block(block, database) }
        end
      rescue => error
        complain(database, error)
      end

      # One that fails is no reason to leave out the next.
      def run_block(block, database)
        surroundings ? surroundings.wrap { block.call(database) } : block.call(database)
      rescue StandardError, ScriptError => error
        complain(database, error)
      end

      def complain(database, error)
        Log.error("after_swap of #{database.label} failed: #{Native.visible(error.message.lines(chomp: true).first.to_s).strip} (#{error.class}) " \
          "at #{error.backtrace&.first}")
      end
    end
  end
end
