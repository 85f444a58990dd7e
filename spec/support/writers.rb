# frozen_string_literal: true

# Users of an application who write all the time, each one after the other.
module Writers
  # While the block runs, each of them calls `write` with its own number and the number of its write.
  def beside_writers(write, count: 2, pause: 0.003)
    over = false
    writers = Array.new(count) do |writer|
      Thread.new do
        number = 0
        until over
          write.call(writer, number += 1)
          sleep pause
        end
      end
    end
    yield
  ensure
    over = true
    writers&.each(&:join)
  end
end
