# frozen_string_literal: true

module Hotswap
  class Dashboard
    # A rollback, in a thread of its own: inside the request it would wait for that request. The page shows how it goes
    # and how it ends, as for one that another process started.
    module Rollback
      # How long the request waits for a rollback that fails at once, in seconds.
      PATIENCE = 1.0

      class << self
        # @param database [Database]
        # @param user [String, nil] the one who has logged in, if the server knows
        # @return [String, nil] why it failed, if it did so at once
        def start(database, user)
          label = user ? "dashboard, #{user}" : "dashboard"
          thread = Thread.new { run(database, label) }
          thread.name = "hotswap-dashboard"
          thread.thread_variable_set(:fork_safe, true)
          outside_the_gate { thread.join(PATIENCE) }&.value
        end

        private

        def run(database, label)
          Hotswap.rollback(database, label: label)
          nil
        rescue => error
          Log.error("the dashboard's rollback of #{database.label} failed: #{error.message}")
          error.message
        end

        # Without it, the rollback would wait for the request that waits for it.
        def outside_the_gate(&)
          Hotswap.release(&)
        rescue ReleaseRefused
          nil # The application has a transaction open around the page. The rollback begins when that ends.
        end
      end
    end
  end
end
