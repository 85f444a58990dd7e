# frozen_string_literal: true

module Hotswap
  class Dashboard
    # What the page shows. A process asks at most once a second, for all viewers together: a question starts a worker.
    class Snapshot
      # How long an answer is good for, in seconds.
      LIFETIME = 1.0
      # How many entries of the records the page knows, the newest ones.
      ENTRIES = 500
      # How many databases the page shows. An application may have thousands.
      MOST = 50

      # The answer of {Hotswap.status}, the entries of the records by the label of their database, why there is no
      # answer, and when that was.
      Facts = Data.define(:status, :entries, :error, :at)

      # Which databases the page shows.
      class Facts
        # @return [Array<Hash>] the databases that the page shows. If there are too many, those with a running command
        #   come first
        def shown
          (left_out.positive? ? databases.partition { |database| database[:commands]&.any? }.flatten(1) : databases).first(MOST)
        end

        # @return [Integer] how many databases the page leaves out
        def left_out = [databases.size - MOST, 0].max

        private

        def databases = status.fetch(:databases)
      end

      def initialize
        @lock = Mutex.new
      end

      # @return [Facts]
      def take
        outside_the_gate { @lock.synchronize { @facts = fresh || ask } }
      end

      # After an action.
      def forget
        @facts = nil
      end

      private

      def fresh
        @facts if @facts && Gate.now - @born < LIFETIME
      end

      def ask
        facts = Facts.new(status: Hotswap.status, entries: {}, error: nil, at: Time.now.utc)
        facts.with(entries: entries(facts.shown))
      rescue Error => error
        Facts.new(status: {databases: []}, entries: {}, error: error.message, at: Time.now.utc)
      ensure
        @born = Gate.now
      end

      # This starts another worker, so only if the record of one of the databases has changed.
      def entries(databases)
        changed = databases.map { |database| [database[:database], database[:last_push], record(database)] }
        return @entries if changed == @records

        @entries = Hotswap.log(newest: ENTRIES).group_by { |entry| entry[:database] }
        @records = changed
        @entries
      end

      def record(database)
        stat = File.stat("#{database[:path]}.hotswap.log")
        [stat.ino, stat.size, stat.mtime]
      rescue SystemCallError
        nil # No record exists yet, only the server's user may see it, or the status escapes characters of its path.
      end

      # So that no swap waits for the answer.
      def outside_the_gate
        outside = false
        Hotswap.release do
          outside = true
          yield
        end
      rescue ReleaseRefused
        raise if outside

        yield # The application has a transaction open around the page.
      end
    end
  end
end
