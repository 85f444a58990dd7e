# frozen_string_literal: true

module Bench
  # One thing to measure, and the rows that it gives. Subclasses say `rows`.
  class Measure
    class << self
      # In the order in which they were required, which is the order of the table.
      def all = @@all ||= []

      def inherited(measure)
        super
        all << measure
      end

      # What it is called on the command line: "slow_neighbour".
      def title = name.split("::").last.gsub(/(?<=[a-z])(?=[A-Z])/, "_").downcase
    end

    def initialize(lab)
      @lab = lab
    end

    private

    attr_reader :lab

    def plan = lab.plan

    # Targets that speak of a copy's time hold for large databases: with small ones everybody waits for programs to start.
    LARGE = 1024**3

    def for_large(size, target) = (target if size.bytes >= LARGE)

    # Returns the block's rows for the default content. With `every`, measures the other contents too, and adds their figures
    # to each row.
    def on_contents(every: true)
      first, *others = Data::CONTENTS.keys
      rows = yield first
      others.each { |content| rows.zip(yield(content)) { |row, other| row.take(content, other) } } if every
      rows
    end

    def milliseconds(seconds) = seconds * 1000

    def megabytes(bytes) = bytes / 1024.0 / 1024

    # Rows of figures for the peer that only those have who have a checkout of it.
    def namesake? = !Bundle.namesake.nil?
  end
end
