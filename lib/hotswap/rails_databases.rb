# frozen_string_literal: true

module Hotswap
  # The SQLite databases of database.yml for the current environment, DATABASE_URL and the like included.
  module RailsDatabases
    class << self
      # Registers those that were set, or else all that are found.
      def register
        chosen = Hotswap.configuration.chosen_databases
        all = found
        return all.each { |path, details| Hotswap.register(path, **details) } if chosen.empty?

        Hotswap.databases.clear
        # If two entries name the same file, the first one wins.
        known = all.reverse_each.to_h { |path, details| [Database.absolute_path(path), details] }
        chosen.each { |path| Hotswap.register(path, **known.fetch(Database.absolute_path(path), {})) }
        # What is chosen by its path may have another name in database.yml, with parameters.
        all.each_key { |path| Hotswap.databases.opened_as(path)&.also_opened_as(path) }
      end

      private

      def found
        return {} unless defined?(ActiveRecord::VERSION)

        # Comes with ActiveRecord::Base, which nobody has asked for yet where code is loaded on demand.
        require "active_record/database_configurations"
        # Read anew: asking ActiveRecord::Base would load it before the application has configured it.
        configurations = ActiveRecord::DatabaseConfigurations.new(::Rails.application.config.database_configuration)
        # Hidden ones are those without tasks, which are ours as well, and replicas: those follow another database.
        of_files = configurations.configs_for(env_name: ::Rails.env, include_hidden: true).select { |config| file?(config) && !config.replica? }
        of_files.uniq { |config| config.database.to_s }.to_h { |config| [config.database.to_s, {name: config.name, extensions: extensions(config)}] }
      end

      def file?(config)
        config.adapter.to_s.start_with?("sqlite3") && Database.absolute_path(config.database)
      end

      # Paths, and names of constants that know a path, as Active Record takes them.
      def extensions(config)
        [*config.configuration_hash[:extensions]].map do |extension|
          constant = extension.to_s.safe_constantize if extension.to_s.match?(/\A[A-Z]/)
          constant.respond_to?(:to_path) ? constant.to_path : extension.to_s
        end
      end
    end
  end
end
