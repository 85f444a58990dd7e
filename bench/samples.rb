# frozen_string_literal: true

module Bench
  # The figures of several runs of one measurement.
  class Samples
    attr_reader :values

    def initialize(values)
      @values = values.map(&:to_f)
      raise ArgumentError, "nothing was measured" if @values.empty?
    end

    def median = percentile(50)

    def percentile(percent)
      return middle if percent == 50

      sorted[(sorted.size * percent / 100.0).ceil.clamp(1, sorted.size) - 1]
    end

    def min = sorted.first

    def max = sorted.last

    def size = values.size

    def map(&) = Samples.new(values.map(&))

    def to_h = {median: median, min: min, max: max, values: values}

    private

    def middle
      half = sorted.size / 2
      sorted.size.odd? ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
    end

    def sorted = @sorted ||= values.sort
  end
end
