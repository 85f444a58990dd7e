# frozen_string_literal: true

module Bench
  # The monotonic clock, which all processes of the machine share.
  module Clock
    # What to add to a wall clock time, as in a log, to convert it to this clock.
    def self.offset = now - Time.now.to_f

    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def self.time
      began = now
      yield
      now - began
    end
  end
end
