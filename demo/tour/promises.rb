# frozen_string_literal: true

class Tour
  # Compares hotswap's promises with what the visitors saw and what the databases contain.
  class Promises
    # The default of config.hotswap.max_pause: no request may wait longer for a swap.
    LONGEST_PAUSE = 0.5

    Push = Struct.new(:version, :began, :ok)

    def initialize(report, jobs)
      @report = report
      @jobs = jobs.report
      @sent = jobs.sent
      @kept = []
    end

    def each(&) = @kept.each(&)

    def kept? = @kept.all?(&:first)

    def no_visitor_saw_an_error
      failed = @report.failure_counts
      keep(failed.empty?, "no visitor saw an error", failed.map { |failure, count| "#{count} × #{failure}" }.join(", "))
    end

    def the_site_kept_answering
      keep(@report.longest_gap < LONGEST_PAUSE && @report.unsent.zero?,
        "the site was never silent for longer than #{(LONGEST_PAUSE * 1000).round} ms",
        "#{(@report.longest_gap * 1000).round} ms, #{@report.unsent} requests were never sent")
    end

    # until_instant: when the next push began.
    def new_data_after(push, until_instant)
      answers = @report.started_in(push.ok..until_instant).versions
      jobs = @jobs.started_in(push.ok..until_instant).versions
      keep([answers, jobs].all? { |versions| versions.keys == [push.version] },
        "after OK every answer and every job came from #{push.version} (#{answers[push.version].to_i} answers, #{jobs[push.version].to_i} jobs)",
        "answers: #{answers}, jobs: #{jobs}")
    end

    def each_job_ran_once
      runs = @jobs.tokens
      keep(@sent.failures.empty? && runs.uniq.size == runs.size && runs.size == @sent.count,
        "each of #{@sent.count} jobs ran, and ran once", "#{runs.size} runs of #{runs.uniq.size} jobs; #{@sent.failure_counts}")
    end

    def refused(status)
      keep(status == 3, "the broken file was refused, and the site stayed as it was", "exit status #{status}")
    end

    # All writes that were acknowledged in that time, to visitors and to jobs, must be in that database.
    def nothing_lost(range, database, text)
      expected = [@report, @jobs].flat_map { |report| report.answered_in(range).tokens }
      missing = expected - database.tokens
      keep(expected.any? && missing.empty?, "#{text}: #{expected.size} acknowledged, #{missing.size} missing")
    rescue SQLite3::Exception => error
      keep(false, text, error.message)
    end

    # db/seeds.rb gives them names such as "user-17".
    def without_names(copy)
      names = File.binread(copy.path).scan(/user-\d+/).uniq
      keep(names.empty? && copy.names.any?, "the redacted copy has no name of a user in any byte", "#{names.size} names, such as #{names.first}")
    end

    def sound(database)
      verdict = database.integrity
      keep(verdict == "ok", "the live database passes SQLite's integrity check", verdict)
    end

    def tidy(database)
      own = /\Aproduction(-queue|-cache|-errors)?\.sqlite3(-wal|-shm|\.hotswap|\.hotswap\.log|\.previous)?\z/
      left = Dir.children(File.dirname(database.path)).grep_v(own)
      keep(left.empty?, "no staged file was left behind", left.join(", "))
    end

    private

    def keep(kept, text, otherwise = nil)
      @kept << [kept, (kept || otherwise.nil?) ? text : "#{text} (#{otherwise})"]
    end
  end
end
