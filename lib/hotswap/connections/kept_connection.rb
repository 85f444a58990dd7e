# frozen_string_literal: true

module Hotswap
  # An Active Record connection that a thread took outside of any request and keeps for good, such as a console's, or
  # that of a server's main thread since boot.
  #
  # Active Record does not tell whether the thread is in the middle of a statement. Every use of a connection takes
  # its lock, but since Active Record 7.1 that lock is ActiveSupport::Concurrency::NullLock, which does nothing
  # (rails/rails@1a2ca1920c6). So this file relies on two things that Active Record does not document:
  #
  # - `lock_thread=` in connection_adapters/abstract_adapter.rb, with which a transactional test gets a lock for a
  #   connection that its threads share. For a fiber, this lock is a Monitor.
  # - A thread that uses a connection has Active Record's files in its backtrace. A thread that took the old lock can
  #   be detected in no other way, and code that uses `raw_connection` takes no lock at all.
  #
  # Read in the sources of 7.1.0, 7.1.6, 7.2.0, 7.2.4, 8.0.0, 8.0.5, 8.1.0, 8.1.4 and main (8.2). If a version does it
  # differently, no kept connection counts as resting: a swap then waits for it, and is refused. This file can go when
  # Active Record has a real lock on every connection again, or tells whether a statement is running.
  module KeptConnection
    GATE = File.expand_path("../gate.rb", __dir__) # steep:ignore
    RELEASE = File.expand_path("../release.rb", __dir__) # steep:ignore
    # The frames of a thread that uses a connection. Those of `connected_to` and `uncached` surround many statements and
    # hold no connection, and the pools' reaper only sleeps.
    USE = %r{/active_record/(?!railties/|connection_handling\.rb|.*query_cache\.rb|.*/reaper\.rb)|/sqlite3[/-]}n
    # The frames between the application's code and a statement that waits at a gate.
    STATEMENT = %r{/hotswap/|/active_record/|/active_support/|/sqlite3[/-]|/monitor\.rb|\A<internal:}n

    class << self
      # Runs the block unless one of the threads is using a connection. No thread can begin to use this one in the
      # meantime.
      # @param users [Array<Thread, nil>] the threads that may have the connection
      # @return what the block returns, or false
      def while_resting(connection, users = [connection.owner], &block)
        # In a transactional test the connection already has a lock, and a transaction.
        return false unless connection.lock == ActiveSupport::Concurrency::NullLock && connection.respond_to?(:lock_thread=)

        begin
          # From here on, a thread that begins to use the connection waits.
          connection.lock_thread = Fiber.current
          alone(connection, users, &block)
        ensure
          connection.lock_thread = nil
        end
      end

      private

      def alone(connection, users)
        lock = connection.lock
        return false if users.any? { |user| using?(user) } || !(lock.respond_to?(:try_enter) && lock.try_enter)

        begin
          yield
        ensure
          lock.exit
        end
      end

      # Whether the thread is in the middle of a statement, or of a block of Active Record's. Frames that measure
      # requests surround all of them, including code that forks, so they do not count. True without an owner, too:
      # the connection has just been returned.
      def using?(owner)
        return true unless owner&.alive?

        frames = owner.backtrace or return true
        # A thread that waits at a gate ({GatedUse}) has not begun its statement. Only the frames around that statement
        # count.
        frames = frames.drop_while { |frame| frame.b.match?(STATEMENT) } if frames.any? { |frame| frame.start_with?(GATE) && frame.include?("wait_until") }
        # Hotswap.release has checked that the frames around it hold no connection. Rails' middleware is among them.
        frames = frames.take_while { |frame| !frame.include?(RELEASE) } if owner.is_a?(Thread) && Gate.released_unit(owner)
        frames.any? { |frame| frame.b.match?(USE) }
      end
    end
  end
end
