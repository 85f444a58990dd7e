# frozen_string_literal: true

module Hotswap
  # The blocks that the application runs in each of its processes after a database was replaced, to clear what the
  # process remembers of the old one.
  #
  # The blocks run in their own thread, while requests go on. Neither the thread that closes connections nor the swap
  # may wait for them.
  class AfterSwap
    # The event that each process sends after a swap.
    EVENT = "swap.hotswap"

    # A run of the blocks: for which database, and whether it has ended.
    Run = Struct.new(:path, :over)
    private_constant :Run

    # What wraps the blocks, such as Rails' reloader.
    # @return [#wrap, nil]
    attr_accessor :surroundings

    def initialize
      @blocks = []
    end

    # See {Hotswap.after_swap}.
    def register(block)
      raise ArgumentError, "after_swap needs a block" unless block

      @blocks << block
    end

    def any?
      @blocks.any?
    end

    # Starts a thread that sends the event and runs the blocks, and returns at once.
    # @param database [Database]
    # @param held [Float] how long the swap held requests of this process, in milliseconds
    # @yield when the blocks have ended, in that thread; at once if there are no blocks
    # @return [Thread, nil]
    def run_beside(database, held, &ended)
      blocks = subscribed? ? [event(held), *@blocks] : @blocks
      return ended&.call if blocks.empty? || forked_by_a_block?(database)

      one_swap_after_the_other = mutex
      thread = Thread.new do
        one_swap_after_the_other.synchronize { run(database, blocks) }
      ensure
        ended&.call
      end
      thread.name = "hotswap-after-swap"
      thread.thread_variable_set(:fork_safe, true)
      thread
    end

    private

    # That of this process. A child that a block has forked inherits its parent's locked.
    def mutex
      @generation, @mutex = Native.generation, Mutex.new unless @generation == Native.generation
      @mutex
    end

    # A child that a block has forked does what the block wants. If it ran the blocks for the same swap, they would fork
    # a child again, and so on. All threads of the child inherit the storage of the fiber that has forked.
    def forked_by_a_block?(database)
      by, Fiber[:hotswap_after_swap] = Fiber[:hotswap_after_swap], nil
      by ? !by.over && by.path == database.path : false
    end

    # This is a unit of work like any other: the next swap waits for it, and names it if it takes too long.
    def run(database, blocks)
      this = Fiber[:hotswap_after_swap] = Run.new(database.path, false)
      Gate.pass("after_swap of #{database.label}") do
        blocks.each { |block| run_block(block, database) }
      end
    rescue => error
      complain(database, error)
    ensure
      this&.over = true
    end

    # If one block fails, the others still run.
    def run_block(block, database)
      surroundings ? surroundings.wrap { block.call(database) } : block.call(database)
    rescue StandardError, ScriptError => error
      complain(database, error)
    end

    def subscribed? = Hotswap.runtime.events.wanted?(EVENT)

    def event(held)
      ->(database) { Hotswap.runtime.events.tell(EVENT, {database: database, held_ms: held}) }
    end

    def complain(database, error)
      Log.failure("after_swap of #{database.label}", error)
    end
  end
end
