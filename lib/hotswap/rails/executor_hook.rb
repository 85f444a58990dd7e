# frozen_string_literal: true

module Hotswap
  # Makes everything that Rails wraps in its executor pass the gate: jobs, Action Cable, runner scripts, and requests
  # that did not come through the middleware. Waiting here is harmless, but raising where a connection is opened ends
  # threads of Solid Queue and Solid Cable for good.
  #
  # This is prepended to an application's executor: another Rails callback would cost a request three times as much
  # as the gate.
  module ExecutorHook
    # Runs before all of the executor's callbacks. In a request the middleware's unit already exists.
    def run
      @hotswap_unit = Gate.enter(Thread.current) unless Gate.inside?
      super
    end

    # Runs after all of them.
    def complete
      super
    ensure
      @hotswap_unit&.leave
    end
  end
end
