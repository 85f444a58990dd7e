# frozen_string_literal: true

# The demo application, started with bin/rails server, as in development.
class RailsServer < AppServer
  private

  def command = %w[bundle exec ruby bin/rails server]
end
