# frozen_string_literal: true

require "io/wait"

module Hotswap
  # The gate of this process, as Ruby sees it: every unit of work passes it, a swap closes it.
  #
  # A unit inside another one (the executor inside the middleware, a rack application inside a rack
  # application) passes for free: the outer one could not end otherwise.
  module Gate
    # A pass: what the unit is, where and since when it runs.
    Running = Struct.new(:source, :fiber, :since)

    @running = {}.compare_by_identity

    class << self
      # Enters, and waits while the gate is closed.
      # @param source what runs: a Rack environment, or anything whose to_s tells a reader of a log
      # @return [Native::Pass, nil] what {leave} takes; nil inside another unit
      # @raise [GateTimeout] if it stays closed for longer than any swap may take
      def enter(source)
        return if inside?

        pass = Native.enter || wait_and_enter(source)
        fiber = Fiber.current
        @running[pass] = Running.new(source, fiber, now)
        Thread.current[:hotswap_pass] = pass
        pass
      end

      # Leaves, from any thread or fiber; the second time, and with nil, does nothing.
      def leave(pass)
        return unless pass

        @running.delete(pass)
        pass.leave
      end

      # Enters for the length of the block.
      def pass(source)
        pass = enter(source)
        yield
      ensure
        leave(pass)
      end

      # Enters for the opening of a database: also while the gate is closing, because a request that is to end
      # may be waiting for it.
      def open(source)
        return yield if inside? || Host.current_thread?

        begin
          pass = Native.enter_while_closing || wait_for { Native.enter_while_closing }
          @running[pass] = Running.new(source, nil, now)
          yield
        ensure
          leave(pass)
        end
      end

      # @return [Boolean] whether the caller is part of a unit that is inside
      def inside?
        pass = Thread.current[:hotswap_pass] or return false
        # The mark is copied into the threads of ActionController::Live; they are units of their own.
        @running[pass]&.fiber.equal?(Fiber.current)
      end

      # @return [Array<String>] what is inside, the oldest first: "GET /reports for 4.2 s"
      def running
        @running.values.sort_by(&:since).map { |unit| "#{describe(unit.source)} for #{(now - unit.since).round(1)} s" }
      end

      # @return [String]
      def describe(source)
        source.is_a?(Hash) ? "#{source["REQUEST_METHOD"]} #{source["PATH_INFO"]}" : source.to_s
      end

      private

      def wait_and_enter(source)
        request = source.is_a?(Hash)
        Hotswap.logger.info("request queued, waiting for swap to complete: #{describe(source)}") if request
        pass = wait_for { Native.enter }
        Hotswap.logger.info("swap complete, resuming request: #{describe(source)}") if request
        pass
      end

      # Waits on a descriptor: a thread lets go of the interpreter meanwhile, a fiber of its reactor.
      def wait_for
        patience = now + (Hotswap.configuration.max_pause * 4) + 5
        until (pass = yield)
          raise GateTimeout, "waited at hotswap's gate for longer than any swap may take" if now > patience

          open_signal.wait_readable(patience - now)
        end
        pass
      end

      def open_signal
        return @open_signal if @open_signal_generation == Native.generation

        @open_signal_generation = Native.generation
        @open_signal = IO.for_fd(Native.gate_descriptor, autoclose: false)
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
