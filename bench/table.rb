# frozen_string_literal: true

module Bench
  # Rows for people, in Markdown.
  class Table
    HEAD = ["", "value", "against", "ratio", "target", "met", "runs", ""].freeze

    def initialize(rows)
      @rows = rows
    end

    def to_s
      lines = [HEAD, *@rows.map { |row| cells(row) }]
      widths = lines.transpose.map { |column| column.map(&:size).max }
      rule = widths.map { |width| "-" * width }
      [lines.first, rule, *lines.drop(1)].map { |line| "| #{line.zip(widths).map { |cell, width| cell.ljust(width) }.join(" | ")} |" }.join("\n")
    end

    private

    def cells(row)
      [row.name, figure(row.value, row.unit), row.against.map { |name, value| "#{name} #{figure(value, row.unit)}" }.join(", "),
        row.ratio ? "#{number(row.ratio)} ×" : "", target(row), met(row), row.runs.to_s, row.note.to_s]
    end

    def figure(value, unit) = value ? "#{number(value)} #{unit}".strip : ""

    # Three digits that mean something.
    def number(value)
      return value.to_s if value.is_a?(Integer)

      digits = {100 => 0, 10 => 1, 1 => 2}.find { |least, _| value.abs >= least }&.last || 3
      value.round(digits).to_s
    end

    def met(row)
      return "" if row.target.nil?
      return "?" unless row.measured?

      row.met? ? "yes" : "**no**"
    end

    def target(row)
      return "" if row.target.nil?

      kind, range = row.target.first
      suffix = (kind == :ratio) ? "×" : row.unit
      [limit(range), suffix, ("more" if kind == :beyond)].compact.join(" ").strip
    end

    def limit(range)
      return range.begin.to_s if range.begin == range.end

      range.begin ? "≥ #{range.begin}" : "≤ #{range.end}"
    end
  end
end
