# frozen_string_literal: true

require "json"

class Visitors
  # What the visitors saw, or a part of it: started_in and answered_in return a report of fewer visits.
  class Report
    attr_reader :visits, :started, :stopped, :unsent

    def self.load(path) = parse(File.read(path))

    def self.parse(json)
      data = JSON.parse(json)
      new(data.fetch("visits").map { |values| Visit.new(*values) },
        started: data.fetch("started"), stopped: data.fetch("stopped"), unsent: data.fetch("unsent"))
    end

    # A report of the jobs that left notes in this file: each read from the database and wrote to it.
    def self.of_jobs(path)
      notes = File.exist?(path) ? File.readlines(path).map { |line| JSON.parse(line) } : []
      visits = notes.map do |note|
        Visit.new(kind: "post", due: note["started"], status: 201, **note.slice("started", "ended", "version", "pid", "id", "token"))
      end
      new(visits, started: visits.map(&:started).min, stopped: visits.map(&:ended).max)
    end

    def initialize(visits, started:, stopped:, unsent: 0)
      @visits = visits.sort_by(&:ended)
      @started = started
      @stopped = stopped
      @unsent = unsent
    end

    def to_json(*) = JSON.generate(started:, stopped:, unsent:, visits: visits.map(&:to_a))

    def started_in(range) = part(visits.select { |visit| range.cover?(visit.started) }, range)

    def answered_in(range) = part(visits.select { |visit| range.cover?(visit.ended) }, range)

    def count = visits.size

    def count_of(kind) = visits.count { |visit| visit.kind == kind }

    def seconds = stopped - started

    def failures = visits.reject(&:good?)

    def failure_counts = failures.map(&:failure).tally

    # In seconds; nil if there were no visits.
    def latency(percent)
      sorted = latencies
      sorted[(sorted.size * percent / 100.0).ceil.clamp(1, sorted.size) - 1] unless sorted.empty?
    end

    def max_latency = latencies.last

    # The longest time without a good answer, from the first instant to the last.
    def longest_gap
      instants = [started, *visits.select(&:good?).map(&:ended), stopped]
      instants.each_cons(2).map { |before, after| after - before }.max
    end

    def versions = visits.select(&:good?).map(&:version).tally

    # [seconds since the start, {version => answers}] for each step.
    def timeline(step)
      visits.select(&:good?).group_by { |visit| ((visit.ended - started) / step).floor * step }
        .transform_values { |part| part.map(&:version).tally }.sort
    end

    def acknowledged = visits.select(&:acknowledged?)

    def tokens = acknowledged.map(&:token)

    def to_s
      milliseconds = ->(value) { value ? "#{(value * 1000).round(1)} ms" : "-" }
      <<~TEXT
        #{count} requests in #{seconds.round(1)} s, #{failures.size} failed #{failure_counts unless failures.empty?}
        p50 #{milliseconds[latency(50)]}, p99 #{milliseconds[latency(99)]}, max #{milliseconds[max_latency]}
        longest gap between good answers #{milliseconds[longest_gap]}
        data versions #{versions}, #{acknowledged.size} writes acknowledged, #{unsent} requests never sent
      TEXT
    end

    private

    def part(visits, range)
      Report.new(visits, started: [range.begin, started].compact.max, stopped: [range.end, stopped].compact.min)
    end

    def latencies = @latencies ||= visits.map(&:latency).sort
  end
end
