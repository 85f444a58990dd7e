# frozen_string_literal: true

require "hotswap/swap_lock"

module Hotswap
  # Rack middleware. A request passes the gate, and is inside until it is over and its body has been sent.
  class Middleware
    # See {SwapLock}.
    SWAP_LOCK = SwapLock.new

    RESPONSE_FINISHED = "rack.response_finished"

    # @param first_request [#call, nil] called with the Rack environment of requests, until it returns true
    def initialize(app, first_request = nil)
      @app = app
      @first_request = first_request
    end

    def call(env)
      return @app.call(env) if Gate.inside?

      tell_first_request(env) if @first_request

      unit = Gate::Unit.new(env)
      begin
        unit.enter
        response = respond(env, unit)
      ensure
        # Runs even if the thread is killed or the application throws, which no rescue sees.
        (response && unit.inside?) ? unit.step_aside : unit.leave
      end
    rescue GateTimeout => error
      [503, {"content-type" => "text/plain", "retry-after" => "1"}, ["#{error.message}\n"]]
    end

    private

    def tell_first_request(env)
      first_request, @first_request = @first_request, nil
      @first_request = first_request unless first_request&.call(env)
    end

    def respond(env, unit)
      callbacks = env[RESPONSE_FINISHED]
      # Servers call these from the last to the first, so this one runs after everything else that belongs to the
      # request.
      callbacks&.unshift(proc { unit.finish })
      response = @app.call(env)
      return response if callbacks

      status, headers, body = response
      return [status, headers, Body.new(body, unit)] unless complete?(body)

      unit.leave
      response
    end

    # Whether sending the body runs no code of the application.
    def complete?(body)
      body.instance_of?(Array) && !body.respond_to?(:close)
    end
  end
end

require "hotswap/middleware/body"
