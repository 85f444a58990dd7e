# frozen_string_literal: true

class Visitors
  # Determines who comes next and when. The instants are fixed beforehand and do not move when the server is slow:
  # visitors who wait for each other's answers would hide a silence instead of measuring it.
  class Schedule
    Errand = Struct.new(:kind, :due, :number)

    def initialize(start, rates)
      @start = start
      @rates = rates.select { |_, per_second| per_second.positive? }
      @handed_out = @rates.transform_values { 0 }
      @mutex = Mutex.new
    end

    def next
      @mutex.synchronize do
        kind, due = next_due
        Errand.new(kind, due, @handed_out[kind] += 1) if kind
      end
    end

    # The errands that were due and found no free thread.
    def overdue(instant)
      @mutex.synchronize do
        @rates.sum { |kind, per_second| [((instant - @start) * per_second).floor - @handed_out[kind], 0].max }
      end
    end

    private

    def next_due
      @rates.map { |kind, per_second| [kind, @start + @handed_out[kind].fdiv(per_second)] }.min_by(&:last)
    end
  end
end
