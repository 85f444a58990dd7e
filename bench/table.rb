# frozen_string_literal: true

module Bench
  # Formats rows as Markdown.
  class Table
    # Each other content that a row was measured on has a column.
    def initialize(rows)
      @rows = rows
      @contents = rows.flat_map { |row| row.beside.keys }.uniq
    end

    def to_s
      head = ["", "value", "against", "ratio", "target", "met", *@contents, "runs", ""]
      lines = [head, *@rows.map { |row| cells(row) }]
      widths = lines.transpose.map { |column| column.map(&:size).max }
      rule = widths.map { |width| "-" * width }
      [lines.first, rule, *lines.drop(1)].map { |line| "| #{line.zip(widths).map { |cell, width| cell.ljust(width) }.join(" | ")} |" }.join("\n")
    end

    private

    def cells(row)
      [row.name, figure(row.value, row.unit), row.against.map { |name, value| "#{name} #{figure(value, row.unit)}" }.join(", "),
        ratio(row.ratio), target(row), met(row), *@contents.map { |content| beside(row, content) }, row.runs.to_s, row.note.to_s]
    end

    def beside(row, content)
      figures = row.beside[content] or return ""
      [figure(figures[:value], row.unit), ratio(figures[:ratio])].reject(&:empty?).join(", ")
    end

    def ratio(ratio) = ratio ? "#{number(ratio)} ×" : ""

    def figure(value, unit) = value ? "#{number(value)} #{unit}".strip : ""

    # Rounds to three significant digits.
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
