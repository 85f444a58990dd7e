# frozen_string_literal: true

# Visitors who write all the time, each one after the other.
module Visitors
  # While the block runs, each of them calls `visit` with its number and the number of its visit.
  def visited(visit, count: 2, pause: 0.003)
    over = false
    visitors = Array.new(count) do |visitor|
      Thread.new do
        number = 0
        until over
          visit.call(visitor, number += 1)
          sleep pause
        end
      end
    end
    yield
  ensure
    over = true
    visitors&.each(&:join)
  end
end
