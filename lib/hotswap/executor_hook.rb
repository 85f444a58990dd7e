# frozen_string_literal: true

module Hotswap
  # Has whatever Rails wraps in its executor pass the gate: jobs, Action Cable, runner scripts, and requests
  # that did not come through the middleware. Waiting here harms nobody; raising where a connection is opened
  # ends threads of Solid Queue and Solid Cable for good.
  #
  # To be prepended to an application's executor: one more callback of Rails' costs a request three times as much
  # as the gate.
  module ExecutorHook
    # Before all of the executor's callbacks. In a request the middleware's unit is there already.
    def run
      @hotswap_unit = Gate.enter(Thread.current) unless Gate.inside?
      super
    end

    # After all of them.
    def complete
      super
    ensure
      @hotswap_unit&.leave
    end
  end
end
