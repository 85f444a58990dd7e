# frozen_string_literal: true

module Bench
  # How one client that repeats slow requests affects fast ones.
  class SlowNeighbour < Measure
    RATE = 100
    SECONDS = 12

    def rows
      lab.site(Data::SIZES["1 MB"]) do |ours|
        lab.site(Data::SIZES["1 MB"], bundle: :without) do |theirs|
          lab.say "fast requests beside one slow client, with hotswap and without in turn"
          with, without = [], []
          lab.rounds(plan.load_rounds, hotswap: -> { fast_ones(ours, with) }, without: -> { fast_ones(theirs, without) })
          [row(*[with, without].map { |latencies| Samples.new(latencies) })]
        end
      end
    end

    private

    # Over all rounds together: the p99 of a single round is the twelfth slowest of its requests, which varies too
    # much.
    def row(with, without)
      ours, theirs = [with, without].map { |latencies| latencies.percentile(99) }
      Row.new("p99 of fast requests beside one slow client", value: ours, unit: "ms", against: {"without the gem" => theirs},
        ratio: ours / theirs, target: {ratio: ..1.1}, runs: with.size,
        note: "p50 #{with.median.round(2)} ms, without #{without.median.round(2)} ms; runs counts requests")
    end

    def fast_ones(site, latencies)
      over = false
      slow = Thread.new { site.get("/slow?t=1") until over }
      load = Load.on(site, gets: RATE) { |running| running.window(:beside) { sleep(plan.full? ? SECONDS : SECONDS / 2) } }
      latencies.concat(load.latencies(:beside).values).size
    ensure
      over = true
      slow&.join
    end
  end
end
