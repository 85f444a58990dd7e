# frozen_string_literal: true

module Hotswap
  # A process is a member of a database's fleet from its first connection to it until it ends.
  module Membership
    @complained = {}

    class << self
      # Opens a connection to the database, inside the gate and as a member.
      def opening(database)
        Gate.open("opening #{database.label}") do
          join(database)
          yield
        end
      end

      # Becomes a member without a connection. Where after_swap is to be told of every swap, one process at least
      # has to be there before the first query.
      def join_all
        Hotswap.databases.each { |database| opening(database) {} if File.exist?(database.resolved_path) }
      end

      private

      # Waits while another process swaps the database; what is there afterwards is what gets opened.
      def join(database)
        patience = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (Hotswap.configuration.max_pause * 4) + 5
        path = database.resolved_path
        until Native.join(path)
          raise GateTimeout, "waited for a swap of #{database.label} for longer than any swap may take" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > patience

          sleep 0.002
        end
        Host.ensure_running
        Server.continue_after_fork
      rescue GateTimeout
        raise
      rescue Error => error
        complain(database, error)
      end

      # The application goes on without hotswap; a push finds that this process has the file open, like any stranger.
      def complain(database, error)
        return if @complained[database]

        @complained[database] = true
        Log.warn("#{database.label} cannot be replaced while this process has it open: #{error.message}")
      end
    end
  end
end
