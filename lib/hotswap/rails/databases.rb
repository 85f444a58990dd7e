# frozen_string_literal: true

module Hotswap
  # The SQLite databases of database.yml for the current environment, including those from DATABASE_URL and similar
  # variables.
  module RailsDatabases
    class << self
      # Registers the configured databases, or all that are found if none is configured.
      def register
        chosen = Hotswap.configuration.chosen_databases
        all = found
        return all.each { |path, details| Hotswap.register(path, **details) } if chosen.empty?

        Hotswap.databases.clear
        # If two entries name the same file, the first one wins.
        known = all.reverse_each.to_h { |path, details| [Database.absolute_path(path), details] }
        chosen.each { |path| Hotswap.register(path, **known.fetch(Database.absolute_path(path), {})) }
        # A configured path may have another name in database.yml, with parameters.
        all.each_key { |path| Hotswap.databases.opened_as(path)&.also_opened_as(path) }
      end

      private

      def found
        return {} unless defined?(ActiveRecord::VERSION)

        # ActiveRecord::Base loads this, too, but an application that loads code on demand may not have loaded it
        # yet.
        require "active_record/database_configurations"
        # Builds the configurations itself: asking ActiveRecord::Base would load it before the application has
        # configured it.
        configurations = ActiveRecord::DatabaseConfigurations.new(::Rails.application.config.database_configuration)
        # Hidden databases are those without tasks, which hotswap manages as well, and replicas, which follow another
        # database.
        all = configurations.configs_for(env_name: ::Rails.env, include_hidden: true)
        of_files = all.select { |config| ActiveRecordConnections.file_of(config) && !config.replica? }
        of_files.uniq { |config| config.database.to_s }.to_h { |config| [path(config.database.to_s), {name: config.name, extensions: extensions(config)}] }
      end

      # activerecord-tenanted has one entry for the databases of all tenants, and puts the name of a tenant into the
      # path.
      def path(configured) = configured.include?("%{tenant}") ? format(configured, tenant: "*") : configured

      # Paths, and names of constants that respond to to_path, as Active Record accepts them.
      def extensions(config)
        [*config.configuration_hash[:extensions]].map do |extension|
          constant = extension.to_s.safe_constantize if extension.to_s.match?(/\A[A-Z]/)
          constant.respond_to?(:to_path) ? constant.to_path : extension.to_s
        end
      end
    end
  end
end
