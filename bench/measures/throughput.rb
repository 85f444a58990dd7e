# frozen_string_literal: true

require "json"

module Bench
  # Requests a second, with hotswap and without, when no swap runs.
  class Throughput < Measure
    VISITORS = 16
    TARGET = {ratio: 0.98..}.freeze
    LOADS = {
      "requests/s of a handler that waits 50 ms, 5 threads" => "/slow?t=0.05",
      "requests/s of a cheap read" => "/items/1"
    }.freeze

    def rows
      sites = %i[hotswap without]
      sites << :namesake if namesake?
      together(sites) { |running| LOADS.flat_map { |name, path| compare(name, path, running) } }
    end

    private

    # All of them run at once; sites without visitors cost nothing.
    def together(bundles, running = {}, &block)
      return yield running if bundles.empty?

      first, *rest = bundles
      lab.site(Data::SIZES["1 MB"], bundle: first) { |site| together(rest, running.merge(first => site), &block) }
    end

    def compare(name, path, running)
      lab.say "#{name}: #{running.keys.join(", ")} in turn"
      running.each_value { |site| visit(site, path, 1) }
      count = (plan.full? ? 10 : 3)
      rounds = lab.rounds(count, **running.transform_values { |site| -> { visit(site, path, plan.seconds) } })
      [row(name, rounds, :hotswap, TARGET), (row("#{name}: the namesake", rounds, :namesake, nil) if namesake?)].compact
    end

    def row(name, rounds, side, target)
      ours, theirs = [side, :without].map { |each| rounds[each, :processor].median }
      Row.new(name, value: rounds[side, :rate].median, unit: "/s", against: {"without the gem" => rounds[:without, :rate].median},
        ratio: rounds.ratio(side, :without, :rate), target: target, runs: rounds.size,
        note: "processor time of a request #{(ours * 1e6).round} µs, without #{(theirs * 1e6).round} µs")
    end

    # Answers per second, and the server's processor time per answer, in seconds.
    def visit(site, path, seconds)
      before = site.processes.sum(&:processor_time)
      said = IO.popen([RbConfig.ruby, File.join(__dir__, "../closed_loop.rb"), site.port.to_s, path,
        VISITORS.to_s, seconds.to_s], &:read)
      answers, failures, taken = JSON.parse(said).values_at("answers", "failures", "seconds")
      raise "#{failures} of #{answers + failures} answers to #{path} were no good" unless failures.zero?

      {rate: answers / taken, processor: (site.processes.sum(&:processor_time) - before) / answers}
    end
  end
end
