# frozen_string_literal: true

require "io/wait"

module Hotswap
  # The Ruby thread of this process that answers native threads: it closes connections, clears cached schemas,
  # reports what is running, and writes lines to the log.
  class Host
    # Starts the thread, unless it already runs in this process.
    def ensure_running
      return if @generation == Native.generation && @thread&.alive?

      @generation = Native.generation
      @thread = Thread.new { answer_questions }.tap do |thread|
        thread.name = "hotswap"
        thread.report_on_exception = false
        # Puma warns about threads that exist before it forks. A child starts this one again.
        thread.thread_variable_set(:fork_safe, true)
      end
    end

    # @return [Boolean] whether the caller is this thread, which works while the gate is closed
    def current_thread?
      Thread.current.equal?(@thread)
    end

    private

    def answer_questions
      posted = IO.for_fd(Native.mailbox_descriptor, autoclose: false)
      loop do
        posted.wait_readable
        while (question = Native.next_question)
          answer(*question) # steep:ignore
        end
      end
    end

    def answer(number, kind, subject, detail)
      return prepare(number, subject) if kind == "prepare"
      return probe(number, subject, detail) if kind == "probe"
      return swapped(number, subject, detail) if kind == "swapped"

      lines = send(:"answer_#{kind}", subject, detail)
      Native.answer(number, true, Array(lines)) unless number.zero?
    rescue StandardError, ScriptError => error
      Native.answer(number, false, [told(error)]) unless number.zero?
      complain(kind, subject, error)
    end

    # The class of an exception from one of the application's blocks helps to find its cause. hotswap's own classes
    # tell a user nothing.
    def told(error)
      error.is_a?(Hotswap::Error) ? Native.visible(error.message.lines(chomp: true).first.to_s).strip : "failed to close its connections: #{Log.summary(error)}"
    end

    # After a swap, no command waits for the answer of this process, so only the log can say that something has failed.
    def complain(kind, path, error)
      database = Hotswap.databases.at(path)&.label || path
      case kind
      when "refresh" then Log.failure("clearing the cached schema of #{database}", error, "Until it restarts, process #{Process.pid} may use old columns")
      when "swapped" then Log.failure("starting after_swap of #{database}", error, "Process #{Process.pid} may keep using its cached data")
      end
    rescue
      nil # The logger itself has raised an error. This thread has to go on.
    end

    def answer_log(level, text)
      Log.write(level, text)
      nil
    end

    def answer_event(_, json)
      Hotswap.runtime.events.tell_beside(json)
      nil
    end

    # The answer comes when the application's blocks have run. Meanwhile, this thread answers other questions.
    def prepare(number, path)
      Hotswap.runtime.before_swap.run_beside(database_at(path)) { Native.answer(number, true, []) }
    end

    # A probe may take long, so it runs in a thread of its own.
    def probe(number, path, timeout)
      Hotswap.runtime.probe.run_beside(database_at(path), timeout.to_f) { |why| Native.answer(number, why.nil?, [why.to_s]) }
    end

    # The answer comes when the application's blocks have run. A child that is forked before runs them itself.
    def swapped(number, path, milliseconds)
      database = database_at(path)
      Hotswap.runtime.after_swap.run_beside(database, milliseconds.to_f) { Native.answer(number, true, []) }
      Log.info("process #{Process.pid} moved to the new #{database.label}; its requests were held for #{milliseconds} ms")
    end

    # The lines before this question are written.
    def answer_written(_, _) = nil

    def answer_disconnect(path, timeout)
      Hotswap.runtime.connections.disconnect(database_at(path), timeout.to_f)
      nil
    end

    def answer_refresh(path, _)
      Hotswap.runtime.connections.refresh(database_at(path))
      nil
    end

    # The units that have been inside for at least this many seconds, as "4.2 GET /reports". With a path, only those
    # that have used the database there, which has a gate of its own.
    def answer_running(path, seconds)
      units = Gate.units.select { |unit| unit.age >= seconds.to_f && (path.empty? || unit.uses?(path)) }
      units.map { |unit| "#{unit.age} #{Gate.describe(unit.source)}" }
    end

    # What keeps this process in the fleet of the database: "pool", "connection" or nothing.
    def answer_kept(path, _)
      Hotswap.runtime.connections.what_keeps(database_at(path))
    end

    def database_at(path)
      Hotswap.databases.at(path) || raise(Error, "#{path} is no longer managed by this process")
    end
  end
end
