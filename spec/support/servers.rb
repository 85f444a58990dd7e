# frozen_string_literal: true

require_relative "app_server"
require_relative "rack_server"

# Servers in specs. `boot_app` is for one example, `running_app` for a whole group; both are torn down, and
# what they leave behind fails the spec.
module Servers
  # The block gets the server before it boots.
  def boot_app(**options, &block) = keep(AppServer.start(**options, &block))

  def boot_rack(config, **options, &block) = keep(RackServer.start(config: config, **options, &block))

  def stop_servers
    servers = @servers_of_this_example || []
    servers.shift.tear_down until servers.empty?
  end

  # Group level: `running_app(workers: 2)`, then `app` in the examples.
  module ForAGroup
    def running_app(server = AppServer, **options, &block)
      before(:context) { @app = server.start(**options, &block) }
      after(:context) { @app&.tear_down }
      attr_reader :app
    end
  end

  def self.show_logs(example)
    PumaServer.running.each do |server|
      RSpec.configuration.reporter.message(
        "--- what the server said (#{example.location})\n#{server.log_tail.gsub(/^/, "    | ")}---"
      )
    end
  end

  def self.kill_all
    PumaServer.running.dup.each(&:kill)
  end

  private

  def keep(server)
    (@servers_of_this_example ||= []) << server
    server
  end
end

# RSpec's own hooks do not run when it is interrupted twice.
owner = Process.pid
at_exit { Servers.kill_all if Process.pid == owner }
