# frozen_string_literal: true

module Hotswap
  class Dashboard
    # How long each swap held requests: one bar for each, the newest on the right, as SVG.
    class Chart
      WIDTH = 600
      HEIGHT = 120
      # The widest bar, with the room next to it.
      STEP = 24.0
      # A pause that is close to nothing can still be seen.
      LOWEST = 2.0

      # @param swaps [Array<Entry>] the oldest first
      def initialize(swaps)
        @swaps = swaps
      end

      # @return [Template::Html, nil] nil without a swap
      def to_svg
        chart unless @swaps.empty?
      end

      private

      Bar = Data.define(:x, :y, :width, :height, :way, :title)

      def bars
        step = [WIDTH.fdiv(@swaps.size), STEP].min
        start = WIDTH - step * @swaps.size
        @swaps.map.with_index do |swap, index|
          height = [swap.held_ms / highest * HEIGHT, LOWEST].max
          Bar.new(x: (start + step * index + step * 0.1).round(2), y: (HEIGHT - height).round(2), width: (step * 0.8).round(2), height: height.round(2),
            way: swap.way, title: "#{Words.time(swap.time)}: #{Words.milliseconds(swap.held_ms)}")
        end
      end

      def in_place? = @swaps.any? { |swap| swap.way == "in_place" }

      def highest = [pauses.max, 0.001].max

      def pauses = @swaps.map { |swap| swap.held_ms }

      def summary
        middle = pauses.sort[(pauses.size - 1) / 2]
        "#{Words.count(@swaps.size, "swap")}. Requests were held for #{Words.milliseconds(middle)} (median), at most #{Words.milliseconds(pauses.max)}"
      end

      Template.define("chart", self)
    end
  end
end
