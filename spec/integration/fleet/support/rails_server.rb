# frozen_string_literal: true

# The demo application, started with bin/rails server, as in development.
class RailsServer < AppServer
  private

  def command = [*Project::RUBY, "bin/rails", "server"]
end
