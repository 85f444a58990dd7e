# frozen_string_literal: true

# The demo application, started the way people do at home.
class RailsServer < AppServer
  private

  def command = %w[bundle exec ruby bin/rails server]
end
