# frozen_string_literal: true

class Tour
  # The site's job process, and the jobs that visitors enqueue.
  class Jobs
    # Where ItemJob writes what it was told.
    NOTES = "log/jobs.jsonl"
    PER_SECOND = 10
    PATIENCE = 30

    def initialize(site)
      @site = site
      @pid = site.start("bin/jobs")
    end

    # Returns when the first job is done.
    def come_in
      @senders = Visitors.spawn(port: @site.port, gets_per_second: 0, posts_per_second: PER_SECOND, post_path: "/jobs")
      wait_until { report.count.positive? } or raise Site::Failed, "no job was done in #{PATIENCE} s\n#{@site.last_words}"
    end

    # Stops enqueuing, and returns when the enqueued jobs are done.
    def finish
      @sent = @senders.finish
      wait_until { report.count >= @sent.count - @sent.failures.size }
    end

    # The jobs' view, as if they were visitors.
    def report = Visitors::Report.of_jobs(File.join(@site.folder, NOTES))

    # The report of the visitors that enqueued them.
    attr_reader :sent

    def stop
      @senders&.dismiss
      Process.kill("TERM", @pid)
      wait_until { Process.waitpid(@pid, Process::WNOHANG) } or Process.kill("KILL", -@pid)
    rescue Errno::ESRCH, Errno::ECHILD
      nil # it has ended by itself
    end

    private

    def wait_until
      deadline = Visitors.now + PATIENCE
      until (found = yield)
        return if Visitors.now > deadline

        sleep 0.05
      end
      found
    end
  end
end
