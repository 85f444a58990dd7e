# frozen_string_literal: true

require "hotswap/rails/executor_hook"
require "hotswap/rails/first_request"
require "hotswap/rails/live_action"
require "hotswap/rails/channel_name"
require "hotswap/rails/job_name"
require "hotswap/rails/databases"

module Hotswap
  # Wires hotswap into Rails, so that an application only has to add the gem.
  class Railtie < ::Rails::Railtie
    config.hotswap = Hotswap.configuration

    first_request = FirstRequest.new

    initializer "hotswap.root", before: :load_config_initializers do |app|
      Hotswap.configuration.root = app.root.to_s
    end

    # Outermost, so that a request is over for hotswap only when it is over for everything else.
    initializer "hotswap.middleware" do |app|
      app.config.middleware.insert_before(0, Hotswap::Middleware, first_request)
    end

    initializer "hotswap.live_actions" do
      ActiveSupport.on_load(:action_controller) { ::ActionController::Live.prepend(LiveAction) }
    end

    initializer "hotswap.names" do
      ActiveSupport.on_load(:active_job) { prepend NamedJob }
      ActiveSupport.on_load(:action_cable_channel) { prepend NamedCommand }
    end

    initializer "hotswap.logger", after: :initialize_logger do
      Hotswap.runtime.default_logger = ::Rails.logger
    end

    # Runs before the application's initializers, because one of them may query a database.
    initializer "hotswap.databases", before: :load_config_initializers do
      RailsDatabases.register
    end

    # These are not initializers that run after some of Rails' own: they would pull those, and with them the building
    # of the middleware and eager loading, before the application's initializers.
    config.after_initialize do |app|
      # Registers again, with the settings from the application's initializers.
      RailsDatabases.register
      Hotswap.databases.booted
      app.executor.prepend(ExecutorHook)
      Hotswap.runtime.after_swap.surroundings = app.reloader
    end

    # Runs when a web server loads the application, and never in a console, a task or a test.
    server do
      first_request.server_loaded
      Hotswap.start
    end

    generators do
      require "generators/hotswap/install/install_generator"
      require "generators/hotswap/once/once_generator"
    end
  end
end
