# frozen_string_literal: true

require_relative "boot"

require "rails"
require "active_model/railtie"
require "active_job/railtie"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"

Bundler.require(*Rails.groups)
require "solid_queue" if Gem.loaded_specs.key?("solid_queue")

module Demo
  class Application < Rails::Application
    # The demo runs on every version of Rails that the gem is tested with, each with its own defaults.
    config.load_defaults Rails::VERSION::STRING.to_f

    # For bin/hotswap cp … --redacted. The benchmarks also run the demo without the gem.
    config.hotswap.redact "users", screen_name: "'reader ' || id", about: "NULL" if defined?(Hotswap)

    if defined?(SolidQueue)
      config.active_job.queue_adapter = :solid_queue
      config.solid_queue.connects_to = {database: {writing: :queue}}
    end
  end
end
