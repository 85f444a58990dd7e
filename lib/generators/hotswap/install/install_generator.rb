# frozen_string_literal: true

require "rails/generators"

module Hotswap
  module Generators
    # bin/rails generate hotswap:install
    class InstallGenerator < ::Rails::Generators::Base
      desc "Creates bin/hotswap, which starts without loading Rails, and an initializer that lists every setting"

      source_root File.expand_path("templates", __dir__)

      def create_binstub
        copy_file "binstub", "bin/hotswap"
        chmod "bin/hotswap", 0o755, verbose: false
      end

      def create_initializer
        copy_file "initializer.rb", "config/initializers/hotswap.rb"
      end

      def say_what_is_next
        say <<~TEXT

          hotswap is ready. With the application running:

            bin/hotswap cp #{database} backup.sqlite3     # pull a backup
            bin/hotswap cp new.sqlite3 #{database}        # push a new database

        TEXT
      end

      private

      # The name in database.yml is the same in every environment; the path is not.
      def database
        Hotswap.databases.first&.name || "database"
      end
    end
  end
end
