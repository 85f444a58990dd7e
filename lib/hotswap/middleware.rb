# frozen_string_literal: true

require "hotswap/swap_lock"

module Hotswap
  # Rack middleware: a request passes the gate and is inside until it is over, with its body sent.
  class Middleware
    # See {SwapLock}.
    SWAP_LOCK = SwapLock.new

    RESPONSE_FINISHED = "rack.response_finished"

    def initialize(app)
      @app = app
    end

    def call(env)
      pass = Gate.enter(env) or return @app.call(env)

      begin
        callbacks = env[RESPONSE_FINISHED]
        # Servers run these from the last to the first: ours after whatever else belongs to the request.
        callbacks&.unshift(proc { Gate.leave(pass) })
        response = @app.call(env)
        callbacks ? response : leave_with_body(response, pass)
      rescue Exception # rubocop:disable Lint/RescueException -- whatever ends the request ends its pass
        Gate.leave(pass)
        raise
      end
    rescue GateTimeout => error
      [503, {"content-type" => "text/plain", "retry-after" => "1"}, ["#{error.message}\n"]]
    end

    private

    def leave_with_body(response, pass)
      status, headers, body = response
      [status, headers, Body.new(body, pass)]
    end
  end
end

require "hotswap/middleware/body"
