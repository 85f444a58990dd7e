# frozen_string_literal: true

module Bench
  # Samples the memory of a site's processes, and of hotswap's workers for it, while the block runs.
  class Watch
    # The worker of a small database lives for less than a tenth of a second.
    EVERY = 0.005

    # The maximum growth of the application's processes, the maximum of a worker, and what it wrote to the disk, in
    # bytes. Memory means their own (RssAnon): mapped pages belong to the page cache, and the kernel reclaims them
    # when it needs them.
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
