# frozen_string_literal: true

require "io/wait"

module Hotswap
  module Gate
    # One unit of work at the gate: what it is, where and since when it runs.
    #
    # It is made before it enters and keeps its pass itself, so that whoever says `ensure unit.leave` gives the
    # pass back wherever a Thread#kill, a Timeout or a throw hits. One that nobody refers to any more, because a
    # server never closed its response, is left when it is collected.
    class Unit
      # @return [Hash, Thread, #to_s] a Rack environment, or whatever else tells a reader of a log what it is
      attr_reader :source
      # @return [Float] on the monotonic clock
      attr_reader :since

      def initialize(source)
        @source = source
      end

      # Enters, and waits while the gate is closed.
      # @raise [GateTimeout] if it stays closed for longer than any swap may take
      def enter
        # The assignment and the call are one step for a thread that is interrupted; hence no `||` here.
        @pass = Native.enter
        wait_and_enter unless @pass
        admitted
      end

      # Enters unless the gate is sealed: for what a unit inside may be waiting for.
      def enter_while_closing
        @pass = Native.enter_while_closing
        wait_until { @pass = Native.enter_while_closing } unless @pass
        admitted
      end

      # Leaves, from any thread or fiber. The second time does nothing.
      def leave
        @pass&.leave
        @pass = nil
      end

      # @return [Boolean] whether it is inside, in this very process
      def inside?
        !@pass.nil? && @generation == Native.generation
      end

      # @return [Boolean] whether the caller is a part of it
      def current?
        # The mark is copied into threads that Rails starts for a request; they are units of their own.
        !@pass.nil? && @fiber.equal?(Fiber.current) && @generation == Native.generation
      end

      # What the caller does from now on is no part of it any more, though it is inside until it is left.
      def step_aside
        Thread.current[:hotswap_unit] = nil
      end

      # Is told of by another name for the length of the block.
      def named(source)
        @source, before = source, @source
        yield
      ensure
        @source = before
      end

      # @return [String] "GET /reports for 4.2 s"
      def to_s
        "#{Gate.describe(source)} for #{(Gate.now - since).round(1)} s"
      end

      private

      def admitted
        @since = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        @fiber = Fiber.current
        @generation = Native.generation
        Thread.current[:hotswap_unit] = self
      end

      def wait_and_enter
        request = source.is_a?(Hash)
        Hotswap.logger.info("request queued, waiting for swap to complete: #{Gate.describe(source)}") if request
        wait_until { @pass = Native.enter }
        Hotswap.logger.info("swap complete, resuming request: #{Gate.describe(source)}") if request
      end

      # Waits on a descriptor: a thread lets go of the interpreter meanwhile, a fiber of its reactor.
      def wait_until
        patience = Gate.now + (Hotswap.configuration.max_pause * 4) + 5
        until yield
          raise GateTimeout, "waited at hotswap's gate for longer than any swap may take" if Gate.now > patience

          Gate.open_signal.wait_readable(patience - Gate.now)
        end
      end
    end
  end
end
