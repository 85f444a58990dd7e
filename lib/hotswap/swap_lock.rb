# frozen_string_literal: true

module Hotswap
  # The exclusive side of this process's gate, for code that wants the application at rest for a moment:
  #
  #   Hotswap::Middleware::SWAP_LOCK.synchronize { nothing_runs_now }
  class SwapLock
    # Closes the gate and waits until nothing runs. New requests wait meanwhile.
    # @raise [ThreadError] inside a request or job, which would wait for itself, and where it is held already
    def lock
      refuse_what_would_wait_for_itself
      closed = sealed = false
      begin
        sleep 0.001 until (closed = Native.close_gate)
        @generation = Native.generation
        @owner = Thread.current
        sleep 0.001 until (sealed = Native.try_seal_gate)
      ensure
        # A thread that is killed here must not leave the gate closed.
        open if closed && !sealed
      end
      self
    end

    # Opens the gate.
    # @raise [ThreadError] by anybody but the thread that closed it
    def unlock
      raise ThreadError, "the swap lock is not held by this thread" unless owned?

      open
      self
    end

    # @return [Boolean] whether requests wait at the moment, whoever closed the gate
    def locked?
      Native.gate_closed?
    end

    # Holds it for the length of the block.
    def synchronize
      refuse_what_would_wait_for_itself
      begin
        lock
        yield
      ensure
        open if owned?
      end
    end

    private

    # A forked child has a gate of its own, which its parent's thread does not hold.
    def owned?
      @owner.equal?(Thread.current) && @generation == Native.generation
    end

    def open
      @owner = nil
      Native.reopen_gate
    end

    def refuse_what_would_wait_for_itself
      raise ThreadError, "the swap lock is held by this thread already" if owned?
      raise ThreadError, "the swap lock cannot be taken inside a request or job" if Gate.inside?
    end
  end
end
