# frozen_string_literal: true

require "rails/generators"

module Hotswap
  module Generators
    # bin/rails generate hotswap:once
    class OnceGenerator < ::Rails::Generators::Base
      desc "Creates hooks/pre-backup and hooks/post-restore, which ONCE runs when it backs up and restores this application"

      source_root File.expand_path("templates", __dir__)

      def create_hooks
        %w[pre-backup post-restore].each do |hook|
          copy_file "#{hook}.rb", "hooks/#{hook}"
          chmod "hooks/#{hook}", 0o755, verbose: false
        end
      end

      def say_what_is_next
        say <<~TEXT

          ONCE looks for the hooks in /hooks. Add this to the last stage of the Dockerfile:

            COPY hooks /hooks

        TEXT
      end
    end
  end
end
