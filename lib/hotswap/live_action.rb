# frozen_string_literal: true

module Hotswap
  # An action of ActionController::Live runs in a thread that goes on when its visitor has left and the request
  # is over for everybody else. That thread is a unit of its own.
  module LiveAction
    private

    def new_controller_thread
      # The request waits for the thread's first words, so that the gate cannot be sealed before it has entered.
      super { Gate.open(request.env) { yield } }
    end
  end
end
