# frozen_string_literal: true

module Hotswap
  # An action of ActionController::Live runs in a thread that goes on when the visitor has left and the request is
  # over for everything else. So that thread is a unit of its own.
  module LiveAction
    # Runs in the request's thread.
    def process(...)
      super
    ensure
      @hotswap_request&.go_on
    end

    private

    # Runs in the request's thread, which then waits for the action's first output. So the gate cannot be sealed
    # before the action's thread has entered.
    def new_controller_thread
      @hotswap_request = Gate.current_unit&.then { |unit| unit.as_live_action_request = Gate::LiveActionRequest.new(unit) }
      super do
        Gate.open(request.env) do |unit|
          unit&.live_action_request = @hotswap_request
          @hotswap_unit = unit
          yield
        end
      end.tap { @hotswap_request&.rest }
    end

    # Rails copies the fiber-locals of the request's thread, including its unit, into the action's thread. This puts
    # the action's own unit back.
    def process_action(...)
      Thread.current[:hotswap_unit] = @hotswap_unit if @hotswap_unit
      super
    end
  end
end
