# frozen_string_literal: true

module Bench
  # Looks at the memory of a site's processes, and of the workers that hotswap starts for it, while something runs.
  class Watch
    # A worker of a small database lives for less than a tenth of a second.
    EVERY = 0.005

    # The most that the application's processes had more than before; the most that a worker had; what it wrote to
    # the disk. In bytes, and of memory what is their own (RssAnon): the pages of files that they map are the page
    # cache's, which the kernel takes back where it needs them.
    attr_reader :growth, :worker_peak, :worker_written

    def self.during(site, &) = new(site).tap { |watch| watch.send(:during, &) }

    def initialize(site)
      @site = site
      @growth = @worker_peak = @worker_written = 0
    end

    private

    def during
      processes = @site.processes
      before = own_memory(processes)
      over = false
      watching = Thread.new do
        until over
          look(processes, before)
          sleep EVERY
        end
      end
      yield
    ensure
      over = true
      watching&.join
    end

    def look(processes, before)
      @growth = [@growth, own_memory(processes) - before].max
      SystemProcess.workers_in(@site.folder).each do |worker|
        @worker_peak = [@worker_peak, worker.own_memory].max
        @worker_written = [@worker_written, worker.written].max
      end
    end

    def own_memory(processes) = processes.sum(&:own_memory)
  end
end
