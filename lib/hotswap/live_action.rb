# frozen_string_literal: true

module Hotswap
  # An action of ActionController::Live runs in a thread that goes on when its visitor has left and the request
  # is over for everybody else. That thread is a unit of its own.
  module LiveAction
    private

    def new_controller_thread
      outer = Gate.current_unit
      # The request waits for the thread's first words, so that the gate cannot be sealed before it has entered.
      super do
        Gate.open(request.env) do |unit|
          unit&.outer = outer
          @hotswap_unit = unit
          yield
        end
      end
    end

    # Rails copies the fiber-locals of the request's thread, including its unit, into the action's thread. Put the action's own
    # unit back.
    def process_action(...)
      Thread.current[:hotswap_unit] = @hotswap_unit if @hotswap_unit
      super
    end
  end
end
