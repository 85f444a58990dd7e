# frozen_string_literal: true

module Hotswap
  # Has whatever Rails wraps in its executor pass the gate: jobs, Action Cable, runner scripts, and requests
  # that did not come through the middleware. Waiting here harms nobody; raising where a connection is opened
  # ends threads of Solid Queue and Solid Cable for good.
  module ExecutorHook
    # Where the hook runs in a request, the middleware's unit is there already, and this one is nil.
    def self.run
      Gate.enter(Thread.current)
    end

    def self.complete(unit)
      Gate.leave(unit)
    end
  end
end
