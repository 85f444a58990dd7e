# frozen_string_literal: true

module Hotswap
  class Dashboard
    # Figures as people read them.
    module Words
      UNITS = %w[KB MB GB TB].freeze

      module_function

      # @return [String] "1.5 GB"
      def bytes(number)
        return "#{number} bytes" if number < 1000

        value = number.to_f
        unit = UNITS.find { (value /= 1000) < 999.5 } || UNITS.last
        "#{(value < 10) ? value.round(1) : value.round} #{unit}"
      end

      # @return [String] "3.1 ms"
      def milliseconds(number)
        return "#{(number / 1000.0).round(1)} s" if number >= 1000

        "#{(number < 10) ? number.to_f.round(1) : number.round} ms"
      end

      # @param time [String] RFC 3339, UTC
      # @return [String] "2026-11-26 12:34:45"
      def time(time) = time.to_s.sub("T", " ").sub(/\.\d+Z?\z|Z\z/, "")

      # @return [String] "2 processes"
      def count(number, noun)
        plural = noun.end_with?("s") ? "#{noun}es" : "#{noun}s"
        "#{number} #{(number == 1) ? noun : plural}"
      end
    end
  end
end
