# frozen_string_literal: true

module Hotswap
  # The blocks that the application runs in each of its processes before a database is replaced, while requests still
  # run. They run in their own thread. The swap waits for them for a second at most.
  class BeforeSwap
    def initialize
      @blocks = []
    end

    # See {Hotswap.before_swap}.
    def register(block)
      raise ArgumentError, "before_swap needs a block" unless block

      @blocks << block
    end

    # Runs the blocks in their own thread, and the given block after them.
    # @param database [Database]
    # @return [Thread, nil]
    def run_beside(database)
      return yield if @blocks.empty?

      thread = Thread.new do
        @blocks.each { |block| run(block, database) }
      ensure
        yield
      end
      thread.name = "hotswap-before-swap"
      thread.thread_variable_set(:fork_safe, true)
      thread
    end

    private

    def run(block, database)
      # Not as a unit of work: the swap would wait until the block has ended, however long that takes.
      block.call(database)
    rescue StandardError, ScriptError => error
      Log.failure("before_swap of #{database.label}", error)
    ensure
      ActiveRecordConnections.let_go if ActiveRecordConnections.loaded?
    end
  end
end
