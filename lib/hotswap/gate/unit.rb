# frozen_string_literal: true

module Hotswap
  module Gate
    # One unit of work at the gate: what it is, where it runs, and since when. The part that every request pays for
    # is in ext/hotswap/src/unit.rs:
    #
    # - `new(source)`, from a Rack environment, a thread, or any object that describes the unit in the log; {source}
    # - `leave`, from any thread or fiber; a second call does nothing. A unit leaves when it is garbage collected.
    # - `inside?`, in this process, and `current?`, whether the caller is part of it
    # - `age`, seconds since it entered
    # - `suspend` and `try_resume`, for {outside}
    # - `uses?(path)`, whether it has used the database at that resolved path, if that database has a gate of its own
    class Unit
      # @return [LiveActionRequest, nil] the request that waits for this unit, which is its live action
      attr_accessor :live_action_request
      # @return [LiveActionRequest, nil] this unit itself, if it is a request that has a live action
      attr_accessor :as_live_action_request

      # Enters. Waits while the gate is closed.
      # @raise [GateTimeout] if the gate stays closed for longer than any swap may take
      def enter
        wait_and_enter unless try_enter
      end

      # Enters unless the gate is sealed, for something that a unit inside may be waiting for.
      def enter_while_closing
        wait_until { try_enter_while_closing } unless try_enter_while_closing
      end

      # A thread that the application wraps in Rails' executor is a unit of its own, but the request that started it may wait
      # for it, and use the same database afterwards.
      # @return [Boolean] whether only the thread is known: it is no request, and not yet a job
      def only_a_thread? = source.is_a?(Thread)

      # Enters the gate of a database, and is inside until it leaves. Waits while that gate is closed.
      # @param gate [OfDatabase]
      # @param while_closing [Boolean] whether a unit inside may be waiting for this one
      # @return [Boolean, nil] nil if the process has left the database's fleet, and the gate is no longer in use
      def use(gate, while_closing: false)
        entered = try_use(gate, while_closing)
        return entered unless entered == false

        # A unit inside may wait for a lock that the caller's transaction on another database holds.
        while_closing ||= ActiveRecordConnections.loaded? && ActiveRecordConnections.caller_in_transaction?
        Gate.wait_until(gate.descriptor) { (entered = try_use(gate, while_closing)) != false }
        entered
      end

      # From now on the caller is no longer part of the unit, which stays inside until it leaves.
      def step_aside
        Thread.current[:hotswap_unit] = nil
        as_live_action_request&.rest
        # The server may send the response body from this thread, and the body may be a stream that calls
        # Hotswap.release.
        Thread.current[:hotswap_sending] = self
      end

      # Leaves. The thread that has sent the body no longer refers to this unit.
      def finish
        leave
        Thread.current[:hotswap_sending] = nil if Thread.current[:hotswap_sending].equal?(self)
      end

      # Leaves for the duration of the block, together with the request that waits for this unit. Both enter again
      # after the block, unless they have left for good or the process has forked and this is the child.
      def outside
        mark, released = Thread.current[:hotswap_unit], Thread.current[:hotswap_released]
        generation = Native.generation
        fiber = suspend
        live_action_request&.release
        Thread.current[:hotswap_released] = self
        yield
      ensure
        Thread.current[:hotswap_released] = released
        come_back(fiber, mark) if generation == Native.generation
      end

      # For {outside}.
      # @param beside_another [Boolean] whether another unit of the same request is inside, so that the gate cannot
      #   be sealed
      def resume(fiber, beside_another)
        wait_until { try_resume(fiber, beside_another) } unless try_resume(fiber, beside_another)
      end

      # Uses another name for the unit, for the duration of the block.
      def named(name)
        before = source
        self.source = name
        yield
      ensure
        self.source = before
      end

      # @return [String] "GET /reports for 4.2 s"
      def to_s
        "#{Gate.describe(source)} for #{age.round(1)} s"
      end

      private

      # For {outside}. Defers exceptions from other threads, because they would leave the rest of the request
      # outside.
      def come_back(fiber, mark)
        Thread.handle_interrupt(Object => :never) do
          resume(fiber, false) if fiber
          live_action_request&.come_back(inside?)
        end
      ensure
        Thread.current[:hotswap_unit] = mark
      end

      def wait_and_enter
        request = source.is_a?(Hash)
        Log.info("request queued, waiting for swap to complete: #{Gate.describe(source)}") if request
        wait_until { try_enter }
        Log.info("swap complete, resuming request: #{Gate.describe(source)}") if request
      end

      def wait_until(&) = Gate.wait_until(Native.gate_descriptor, &)
    end
  end
end
