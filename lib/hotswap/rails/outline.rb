# frozen_string_literal: true

module Hotswap
  # The part of a Rails application that names its databases: config/application.rb, config/environments, database.yml
  # and hotswap's own initializer. The application does not boot, because an initializer may open a database that does
  # not exist yet, or create its file.
  module RailsOutline
    # The initializer that `bin/rails generate hotswap:install` creates, also with a number in front.
    INITIALIZER = /\A(\d+_)?hotswap\.rb\z/

    class << self
      # Registers the databases. config/application.rb has to be loaded.
      def load
        application = ::Rails.application
        Hotswap.configuration.root = application.root.to_s
        # The log's file would belong to the user who runs the command, and the application could not write it later.
        Hotswap.logger = Logger.new(nil)
        load_environment(application)
        load_initializer(application)
        Hotswap.runtime.probe.forget
        RailsDatabases.register
      end

      private

      # Rails runs these initializers before all others.
      def load_environment(application)
        application.initializers.each { |initializer| initializer.run(application) if initializer.name == :load_environment_config }
      end

      def load_initializer(application)
        application.config.paths["config/initializers"].existent.sort.each { |path| Kernel.load(path) if File.basename(path).match?(INITIALIZER) }
      end
    end
  end
end
