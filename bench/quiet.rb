# frozen_string_literal: true

module Bench
  # Checks whether other programs are using this machine, because that affects the figures.
  class Quiet
    LOOK = 0.25
    # The maximum share of the processors that may be busy.
    BUSY = 0.12
    attr_reader :asked, :disturbed

    # @param patience [Float] how long to wait for a quiet moment each time, in seconds
    def initialize(patience)
      @patience = patience
      @asked = @disturbed = 0
    end

    # Returns when the machine is quiet, or when the time is over.
    def wait
      @asked += 1
      deadline = Clock.now + @patience
      quiet = busy <= BUSY until quiet || Clock.now > deadline
      @disturbed += 1 unless quiet
    end

    # Returns nil if there is nothing to report.
    def doubt
      "something else was running before #{disturbed} of #{asked} rounds" if disturbed.positive?
    end

    private

    def busy
      before = times
      sleep LOOK
      idle, all = times.zip(before).map { |now, then_| now - then_ }
      1 - idle.fdiv(all)
    end

    def times
      spent = File.foreach("/proc/stat").first.split.drop(1).map(&:to_i)
      # Waiting for the disk does not count as idle, because some process is writing to it.
      [spent[3], spent.first(8).sum]
    end
  end
end
