# frozen_string_literal: true

module Bench
  # The monotonic clock, which all processes of the machine share.
  module Clock
    # What to add to an instant of the wall clock, which logs are written in, to have it on this one.
    def self.offset = now - Time.now.to_f

    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def self.time
      began = now
      yield
      now - began
    end
  end
end
