# frozen_string_literal: true

module Bench
  # One line of the table: the name, the result and the target of a measurement.
  #
  #   Row.new("push of 1 GB", value: 4.1, unit: "s", against: {"cp, fsync, check" => 5.2}, ratio: 0.79, target: {ratio: ..0.8})
  class Row
    attr_reader :name, :value, :unit, :against, :ratio, :target, :runs, :note, :beside

    # @param target [Hash] one of value:, ratio: or beyond: (the difference to `against`), with the Range that it
    # should
    #   be in; a row without a target only informs
    # @param beside [Hash{String => Hash}] the value: and ratio: for each other content of the database
    # @param missed [Proc, nil] explains why the target was missed
    def initialize(name, value:, unit:, against: {}, ratio: nil, target: nil, runs: nil, note: nil, beside: {}, missed: nil)
      @name = name
      @value = value
      @unit = unit
      @against = against
      @ratio = ratio
      @target = target
      @runs = runs
      @beside = beside
      @note = [note, (missed&.call unless met? || target.nil?)].compact.join("; ")
    end

    # A row for which this machine, or this run, has no figure.
    def self.left_out(name, why, target: nil) = new(name, value: nil, unit: nil, target: target, note: "not measured: #{why}")

    def self.parse(data)
      target = data["target"]&.to_h { |kind, (low, high)| [kind.to_sym, Range.new(low, high)] }
      beside = data.fetch("beside", {}).transform_values { |figures| figures.transform_keys(&:to_sym) }
      new(data["name"], value: data["value"], unit: data["unit"], against: data["against"], ratio: data["ratio"],
        target: target, runs: data["runs"], note: data["note"], beside: beside)
    end

    # Adds the result of the same measure on another content.
    def take(content, row)
      @beside = beside.merge(content => {value: row.value, ratio: row.ratio})
    end

    def measured? = !value.nil?

    # Returns nil if there is no target, or no figure.
    def met?
      return if target.nil? || !measured?

      kind, range = target.first
      range.cover?(figure(kind).round(4))
    end

    def to_h
      {name:, value:, unit:, against:, ratio:, runs:, note:, beside:, met: met?,
       target: target&.transform_values { |range| [range.begin, range.end] }}
    end

    def to_json(*) = JSON.generate(to_h)

    private

    def figure(kind)
      case kind
      when :value then value
      when :ratio then ratio
      when :beyond then value - against.values.first
      end
    end
  end
end
