# frozen_string_literal: true

module Bench
  # Whether somebody else is using this machine, which decides what a figure is worth.
  class Quiet
    LOOK = 0.25
    # The share of its processors that may be busy.
    BUSY = 0.12
    attr_reader :asked, :disturbed

    # @param patience [Float] for how many seconds to wait for a quiet moment, each time
    def initialize(patience)
      @patience = patience
      @asked = @disturbed = 0
    end

    # Returns when the machine is quiet, or after a while although it is not.
    def wait
      @asked += 1
      deadline = Clock.now + @patience
      quiet = busy <= BUSY until quiet || Clock.now > deadline
      @disturbed += 1 unless quiet
    end

    # nil where nothing has to be said.
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
      # Waiting for the disk is not idle: somebody is writing to it.
      [spent[3], spent.first(8).sum]
    end
  end
end
