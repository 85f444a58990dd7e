# frozen_string_literal: true

require "fileutils"
require "json"

module Bench
  # Keeps the results: each measure in its own file, and the rows of the latest full runs in one table.
  module Results
    FOLDER = File.join(__dir__, "results")

    class << self
      # The rows of a full run replace the rows of the same measure in the latest table.
      def keep(measure, plan, rows, doubt)
        FileUtils.mkdir_p(FOLDER)
        result = JSON.parse(JSON.generate(machine: Machine.to_h, plan: plan.name, doubt: doubt, rows: rows.map(&:to_h)))
        write("#{measure.title}-#{plan.name}.json", JSON.pretty_generate(result))
        publish(measure.title => result) if plan.full?
      end

      def picture(name, svg) = write(name, svg)

      private

      def publish(result)
        latest = read.merge(result)
        latest = Measure.all.map(&:title).filter_map { |title| [title, latest[title]] if latest[title] }.to_h
        write("latest.json", JSON.pretty_generate(latest))
        write("latest.md", page(latest))
      end

      def read
        path = File.join(FOLDER, "latest.json")
        File.exist?(path) ? JSON.parse(File.read(path)) : {}
      end

      def page(latest)
        parts = latest.map do |title, part|
          facts = part.fetch("machine")
          "## #{title}\n\n#{[facts["at"], "commit #{facts["commit"]}", *part["doubt"]].join("; ")}\n\n#{Table.new(part.fetch("rows").map { |row| Row.parse(row) })}\n"
        end
        "# Figures\n\nWritten by `bin/bench`; what the rows mean is in [docs/benchmarks.md](../../docs/benchmarks.md).\n\n#{Machine}.\n\n#{parts.join("\n")}"
      end

      def write(name, text) = File.write(File.join(FOLDER, name), "#{text.chomp}\n")
    end
  end
end
