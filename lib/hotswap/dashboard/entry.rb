# frozen_string_literal: true

require "hotswap/dashboard/words"

module Hotswap
  class Dashboard
    # The words for an entry of the record, as {Hotswap.log} returns it.
    class Entry
      WAYS = {"rename" => "renamed", "in_place" => "in place"}.freeze

      # @param fields [Hash]
      def initialize(fields)
        @fields = fields
      end

      def time = @fields[:time].to_s

      # @return [String] "Push", "Push refused"
      def event
        bad? ? "#{@fields[:command]} #{@fields[:event]}".strip.capitalize : @fields[:event].to_s.capitalize
      end

      # @return [Boolean] whether the command did not do what it should
      def bad? = !error.nil?

      # @return [Boolean] whether it moved the processes to other content
      def swap? = %w[push rollback].include?(@fields[:event]) && !held_ms.nil?

      def held_ms = @fields[:held_ms]

      def way = @fields[:way].to_s

      def pause = swap? ? Words.milliseconds(held_ms) : ""

      def label = @fields[:label]

      def error = @fields[:error]

      # @return [Array<String>] what it was about, and who asked for it
      def details
        size = Words.bytes(@fields[:bytes]) if @fields[:bytes]
        from = "from #{@fields[:from]}" if @fields[:from]
        to = "to #{@fields[:to]}" if @fields[:to]
        [[size, WAYS[way], from, to].compact.join(", "), @fields[:who].to_s].reject(&:empty?)
      end
    end
  end
end
