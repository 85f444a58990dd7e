# frozen_string_literal: true

# Specs wait for a condition, never for a time.
module Eventually
  class TooLate < StandardError; end

  # The block's first truthy answer. Expectations inside it may fail until the time is over.
  def eventually(timeout = 10, every: 0.02)
    deadline = Eventually.now + timeout
    begin
      answer = yield
      return answer if answer
      raise TooLate, "the condition did not come true within #{timeout} s"
    rescue TooLate, RSpec::Expectations::ExpectationNotMetError
      raise if Eventually.now > deadline
      sleep every
      retry
    end
  end

  module_function

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
