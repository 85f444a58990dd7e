# frozen_string_literal: true

module Hotswap
  # The exclusive side of this process's gate, for code that wants the application at rest for a moment:
  #
  #   Hotswap::Middleware::SWAP_LOCK.synchronize { nothing_runs_now }
  class SwapLock
    # Closes the gate and waits until nothing runs. New requests wait meanwhile.
    # @raise [ThreadError] inside a request or job, which would wait for itself
    def lock
      raise ThreadError, "the swap lock cannot be taken inside a request or job" if Gate.inside?

      sleep 0.001 until Native.close_gate
      @owner = Thread.current
      sleep 0.001 until Native.try_seal_gate
      self
    rescue Exception # rubocop:disable Lint/RescueException -- a thread that is killed here must not leave the gate closed
      unlock if @owner.equal?(Thread.current)
      raise
    end

    # Opens the gate.
    # @raise [ThreadError] by anybody but the thread that closed it
    def unlock
      raise ThreadError, "the swap lock is not held by this thread" unless @owner.equal?(Thread.current)

      @owner = nil
      Native.reopen_gate
      self
    end

    # @return [Boolean] whether requests wait at the moment, whoever closed the gate
    def locked?
      Native.gate_closed?
    end

    # Holds it for the length of the block.
    def synchronize
      lock
      yield
    ensure
      unlock if @owner.equal?(Thread.current)
    end
  end
end
