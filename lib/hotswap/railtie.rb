# frozen_string_literal: true

require "hotswap/executor_hook"
require "hotswap/live_action"
require "hotswap/rails_databases"

module Hotswap
  # Wires hotswap into Rails: nothing is left to do for an application but to name the gem.
  class Railtie < ::Rails::Railtie
    config.hotswap = Hotswap.configuration

    initializer "hotswap.root", before: :load_config_initializers do |app|
      Hotswap.configuration.root = app.root.to_s
    end

    # First of all, so that a request is over for us when it is over for everybody else.
    initializer "hotswap.middleware" do |app|
      app.config.middleware.insert_before(0, Hotswap::Middleware)
    end

    # Outside of the interlock's hook: waiting at the gate inside it would block the loading of code.
    initializer "hotswap.executor", after: :configure_executor_for_concurrency do |app|
      app.executor.register_hook(ExecutorHook, outer: true)
    end

    initializer "hotswap.live_actions" do
      ActiveSupport.on_load(:action_controller) { ::ActionController::Live.prepend(LiveAction) }
    end

    initializer "hotswap.logger", after: :initialize_logger do
      Hotswap.logger = ::Rails.logger
    end

    # Twice: before the application's initializers, one of which may query a database, and again with what they
    # have set.
    initializer "hotswap.databases", before: :load_config_initializers do
      RailsDatabases.register
    end

    initializer "hotswap.chosen_databases", after: :load_config_initializers do
      RailsDatabases.register
    end

    # Runs when a web server loads the application, and never in a console, a task or a test.
    server do
      Hotswap.start
    end

    generators do
      require "generators/hotswap/install/install_generator"
    end
  end
end
