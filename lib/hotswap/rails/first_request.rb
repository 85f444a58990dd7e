# frozen_string_literal: true

module Hotswap
  # Starts hotswap with the first request from a web server, if config.ru does not call
  # `Rails.application.load_server`. Applications that were generated before Rails 6.1 have such a config.ru.
  class FirstRequest
    # The first requests of each process call this, until it returns true.
    # @param env [Hash] the Rack environment of the request
    # @return [Boolean] whether the request came from a web server, or need not
    def call(env)
      return true if @server_loaded || ::Rails.env.test?
      # Consoles and initializers make requests too, but have no web server: SERVER_SOFTWARE is not set there.
      return false unless env["SERVER_SOFTWARE"]

      Log.warn("config.ru does not call Rails.application.load_server, so hotswap starts with the first request. To start hotswap " \
        "at boot, add this as the last line of config.ru: Rails.application.load_server")
      Hotswap.start
      true
    end

    # The railtie calls this when Rails loads the server.
    def server_loaded
      @server_loaded = true
    end
  end
end
