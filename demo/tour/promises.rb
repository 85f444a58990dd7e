# frozen_string_literal: true

class Tour
  # What hotswap promises, held against what the visitors saw and what the databases hold.
  class Promises
    # config.hotswap.max_pause as it comes: nobody is to wait longer for a swap.
    LONGEST_PAUSE = 0.5

    Push = Struct.new(:version, :began, :ok)

    def initialize(report)
      @report = report
      @kept = []
    end

    def each(&) = @kept.each(&)

    def kept? = @kept.all?(&:first)

    def nobody_saw_an_error
      failed = @report.failure_counts
      keep(failed.empty?, "no visitor saw an error", failed.map { |failure, count| "#{count} × #{failure}" }.join(", "))
    end

    def nobody_waited
      keep(@report.longest_gap < LONGEST_PAUSE && @report.unsent.zero?,
        "the site was never silent for longer than #{(LONGEST_PAUSE * 1000).round} ms",
        "#{(@report.longest_gap * 1000).round} ms, #{@report.unsent} visitors were never let in")
    end

    def new_data_after(push, until_instant)
      versions = @report.started_in(push.ok..until_instant).versions
      old = versions.except(push.version).values.sum
      keep(versions.key?(push.version) && old.zero?,
        "after OK every answer came from #{push.version} (#{versions[push.version].to_i} answers)", "the answers: #{versions}")
    end

    def refused(status)
      keep(status == 3, "the broken file was refused, and the site stayed as it was", "exit status #{status}")
    end

    # Of the writes answered in that time, all must be in that database.
    def nothing_lost(range, database, text)
      expected = @report.answered_in(range).tokens
      missing = expected - database.tokens
      keep(expected.any? && missing.empty?, "#{text}: #{expected.size} acknowledged, #{missing.size} missing")
    rescue SQLite3::Exception => error
      keep(false, text, error.message)
    end

    def sound(database)
      verdict = database.integrity
      keep(verdict == "ok", "the live database passes SQLite's integrity check", verdict)
    end

    def tidy(database)
      own = /\Aproduction(-queue|-cache|-errors)?\.sqlite3(-wal|-shm|\.hotswap)?\z/
      left = Dir.children(File.dirname(database.path)).grep_v(own)
      keep(left.empty?, "no staged file was left behind", left.join(", "))
    end

    private

    def keep(kept, text, otherwise = nil)
      @kept << [kept, (kept || otherwise.nil?) ? text : "#{text} (#{otherwise})"]
    end
  end
end
