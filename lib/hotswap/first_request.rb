# frozen_string_literal: true

module Hotswap
  # Starts the server for an application whose config.ru does not call `Rails.application.load_server`, as those that were
  # generated before Rails 6.1: with the first request that a web server brings.
  module FirstRequest
    class << self
      # Called by the first request of a process.
      # @param env [Hash] its Rack environment
      def call(env)
        # Tests and consoles make requests too, and no server has a name there.
        return if @server_loaded || !env["SERVER_SOFTWARE"] || ::Rails.env.test?

        Log.warn("config.ru does not call Rails.application.load_server, so hotswap starts with the first request. To start hotswap " \
          "at boot, add this as the last line of config.ru: Rails.application.load_server")
        Hotswap.start
      end

      # Called when Rails loads the server.
      def server_loaded
        @server_loaded = true
      end
    end
  end
end
