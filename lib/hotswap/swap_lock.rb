# frozen_string_literal: true

module Hotswap
  # The exclusive side of this process's gate, for code that needs a moment in which no unit runs:
  #
  #   Hotswap::Middleware::SWAP_LOCK.synchronize { nothing_runs_now }
  class SwapLock
    # Closes the gate and waits until no unit is inside. New requests wait in the meantime.
    # @raise [ThreadError] inside a request or job, which would wait for itself, and if the lock is already held
    def lock
      refuse_what_would_wait_for_itself
      close_and_seal { sleep 0.001 }
      self
    end

    # Closes the gate if no unit is inside and no swap is running. Never waits.
    # @return [Boolean] whether the calling thread now holds the lock
    def try_lock
      return false if Native.inside.positive?

      close_and_seal { return false }
      true
    end

    # Opens the gate.
    # @raise [ThreadError] unless the calling thread closed it
    def unlock
      raise ThreadError, "this thread does not hold the swap lock" unless owned?

      open
      self
    end

    # @return [Boolean] whether requests currently wait, no matter which thread or swap closed the gate
    def locked?
      Native.gate_closed?
    end

    # @return [Boolean] whether the calling thread holds the lock
    def owned?
      # A forked child has its own gate, which its parent's thread does not hold.
      @owner.equal?(Thread.current) && @generation == Native.generation
    end

    # Holds the lock for the duration of the block.
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

    # Calls the block as long as something is in the way.
    def close_and_seal
      closed = sealed = false
      yield until (closed = Native.close_gate)
      @generation = Native.generation
      @owner = Thread.current
      yield until (sealed = Native.try_seal_gate)
    ensure
      # A thread that gives up or is killed must not leave the gate closed.
      open if closed && !sealed
    end

    def open
      @owner = nil
      Native.reopen_gate
    end

    def refuse_what_would_wait_for_itself
      raise ThreadError, "this thread already holds the swap lock" if owned?
      raise ThreadError, "the swap lock cannot be taken inside a request or job, because it would wait for itself" if Gate.inside?
    end
  end
end
