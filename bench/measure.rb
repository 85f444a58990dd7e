# frozen_string_literal: true

module Bench
  # A subject of the benchmark, and the rows that it produces. Subclasses implement `rows`.
  class Measure
    class << self
      # In the order in which they were required, which is the order of the table.
      def all = @@all ||= []

      def inherited(measure)
        super
        all << measure
      end

      # Its name on the command line: "slow_neighbour".
      def title = name.split("::").last.gsub(/(?<=[a-z])(?=[A-Z])/, "_").downcase
    end

    def initialize(lab)
      @lab = lab
    end

    private

    attr_reader :lab

    def plan = lab.plan

    # Targets for the time of a copy apply to large databases: with small ones the start of the programs takes most
    # of the time.
    LARGE = 1024**3

    def for_large(size, target) = (target if size.bytes >= LARGE)

    # Returns the block's rows for the default content. With `every`, measures the other contents too, and adds their
    # figures to each row.
    def on_contents(every: true)
      first, *others = Data::CONTENTS.keys
      rows = yield first
      others.each { |content| rows.zip(yield(content)) { |row, other| row.take(content, other) } } if every
      rows
    end

    def milliseconds(seconds) = seconds * 1000

    def megabytes(bytes) = bytes / 1024.0 / 1024

    # Only a machine with a checkout of the namesake has figures for it.
    def namesake? = !Bundle.namesake.nil?
  end
end
