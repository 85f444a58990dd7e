# frozen_string_literal: true

module Bench
  # What fast requests notice of one client that asks for slow ones again and again.
  class SlowNeighbour < Measure
    RATE = 50

    def rows
      lab.site(Data::SIZES["1 MB"]) do |ours|
        lab.site(Data::SIZES["1 MB"], bundle: :without) do |theirs|
          lab.say "fast requests beside one slow client, with hotswap and without in turn"
          rounds = lab.rounds(plan.load_rounds, hotswap: -> { fast_ones(ours) }, without: -> { fast_ones(theirs) })
          ours, theirs = %i[hotswap without].map { |side| rounds[side].median }
          [Row.new("p99 of fast requests beside one slow client", value: ours, unit: "ms", against: {"without the gem" => theirs},
            ratio: rounds.ratio(:hotswap, :without), target: {ratio: ..1.1}, runs: rounds.size)]
        end
      end
    end

    private

    def fast_ones(site)
      over = false
      slow = Thread.new { site.get("/slow?t=1") until over }
      load = Load.on(site, gets: RATE) { |running| running.window(:beside) { sleep(plan.seconds * 3) } }
      load.latencies(:beside).percentile(99)
    ensure
      over = true
      slow&.join
    end
  end
end
