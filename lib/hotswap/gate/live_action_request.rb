# frozen_string_literal: true

module Hotswap
  module Gate
    # A request that waits for its live action, which runs in its own thread. While the action is in Hotswap.release,
    # the request is outside the gate as well, but only while the request's own thread runs no code of the
    # application: until the action's first output, and from the moment when the response is back at the server. In
    # between, the thread runs the middleware, which may use a database, so a push waits for it.
    class LiveActionRequest
      # @param unit [Unit] the request's unit
      def initialize(unit)
        @unit = unit
        @lock = Mutex.new
        @idle = @released = false
      end

      # From now on, the request's thread runs no code of the application.
      def rest = change { @idle = true }

      # The request's thread runs code of the application again. Waits while the gate is closed.
      def go_on = change { @idle = false }

      # The live action is in Hotswap.release.
      def release = change { @released = true }

      # The live action is back.
      # @param beside_another [Boolean] whether the action is inside, so that the gate cannot be sealed
      def come_back(beside_another) = change(beside_another) { @released = false }

      private

      # Leaves the gate while the thread is idle and the action is in Hotswap.release. Otherwise enters it again.
      def change(beside_another = false)
        back = @lock.synchronize do
          yield
          stay_out = @idle && @released
          @fiber ||= @unit.suspend if stay_out
          fiber, @fiber = @fiber, nil unless stay_out
          fiber
        end
        @unit.resume(back, beside_another) if back
      end
    end
  end
end
