# frozen_string_literal: true

require "etc"
require_relative "../picture"

module Bench
  # How a push affects 100 requests a second: reads alone, then reads and writes.
  class Silence < Measure
    RATE = 100
    # Requests in the moments after OK belong to the push, because they meet new connections.
    AFTER = 0.5

    def rows
      rows = on_contents do |content|
        @file = lab.data.path(plan.big, "v2", content)
        lab.site(plan.big, content) { |site| reads(site, content) + writes(site) }
      end
      @file = lab.data.path(plan.big, "v2")
      rows << theirs(plan.big) if namesake?
      rows
    end

    private

    def reads(site, content)
      lab.say "push of #{plan.big} in #{content} under #{RATE} reads a second"
      load = pushes(site, gets: RATE)
      draw(load) if content == Data::RANDOM_ORDER
      [silence("under #{RATE} reads/s", load, site),
        *{copy: "the copy", check: "the integrity check"}.map { |stage, name| during(stage, name, load) }]
    end

    def writes(site)
      lab.say "push of #{plan.big} under #{RATE / 2} reads and #{RATE / 2} writes a second"
      load = pushes(site, gets: RATE / 2, posts: RATE / 2)
      idle, pushed = %i[idle push].map { |window| load.latencies(window, "post") }
      worst = ->(samples) { {"p50" => samples.median, "max" => samples.max}.map { |name, ms| "#{name} #{ms.round(1)} ms" }.join(", ") }
      [silence("under #{RATE / 2} reads/s and #{RATE / 2} writes/s", load, site),
        Row.new("p99 of writes during a push of #{plan.big}", value: pushed.percentile(99), unit: "ms",
          against: {"no push" => idle.percentile(99)}, ratio: pushed.percentile(99) / idle.percentile(99), runs: pushed.size,
          note: "#{worst[pushed]}; without a push #{worst[idle]}")]
    end

    def pushes(site, **rates)
      lab.quiet.wait
      load = Load.on(site, **rates) do |running|
        running.window(:settling) { sleep 1 }
        plan.load_rounds.times do
          log = site.swap_log
          seconds = running.window(:push) { site.push(@file).tap { sleep AFTER } }
          log.stages.each { |stage, range| running.mark(stage, range) }
          running.window(:pause) { site.settle }
          running.window(:idle) { sleep(seconds + AFTER) }
        end
      end
      raise "#{load.failures.size} requests failed: #{load.report.failure_counts}" if load.failures.any? && site.bundle == :hotswap

      load
    end

    def silence(how, load, site, target: {beyond: ..10})
      pushed, idle = load.silences(:push), load.silences(:idle)
      Row.new("longest silence, push of #{plan.big} #{how}", value: pushed.median, unit: "ms", against: {"no push" => idle.median},
        target: target, runs: pushed.size, note: "worst of the pushes #{pushed.max.round(1)} ms, of the rest #{idle.max.round(1)} ms",
        missed: -> { where(load) })
    end

    # The stage that contained the longest silence.
    def where(load)
      "it came #{load.windows(:push).map { |range| stage_of(load, range) }.tally.map { |stage, count| "#{count} × #{stage}" }.join(", ")}"
    end

    def stage_of(load, range)
      part = load.report.answered_in(range)
      instants = [part.started, *part.visits.select(&:good?).map(&:ended), part.stopped]
      silence = instants.each_cons(2).max_by { |before, after| after - before }.sum / 2
      stages = %i[copy check swap].to_h { |stage| [stage, load.windows(stage).find { |span| range.cover?(span.begin) }] }.compact
      stage = stages.find { |_, span| span.cover?(silence) }&.first
      stage ? "in the #{stage}" : [("before the copy" if stages[:copy] && silence < stages[:copy].begin), "after OK"].compact.first
    end

    def during(stage, name, load)
      idle = load.latencies(:idle).percentile(99)
      busy = load.latencies(stage)
      Row.new("p99 of requests during #{name} of #{plan.big}", value: busy.percentile(99), unit: "ms", against: {"no push" => idle},
        ratio: busy.percentile(99) / idle, target: for_large(plan.big, {ratio: ..1.3}), runs: busy.size, note: "runs counts requests",
        missed: -> { "one of #{Etc.nprocessors} cores is busy with it for #{load.windows(stage).map { |window| window.end - window.begin }.max.round(2)} s" })
    end

    def draw(load)
      range = load.windows(:push).first
      stages = %i[copy check swap].to_h { |stage| [stage, load.windows(stage).first] }.compact
      lead = [1.0, range.begin - load.report.started].min
      visits = load.report.started_in((range.begin - lead)..(range.end + 1)).visits
      Results.picture("push.svg", Picture.new(visits, stages, range.begin, "push of #{plan.big} under #{RATE} requests a second").to_s) if plan.full?
    end

    def theirs(size)
      lab.site(size, bundle: :namesake) do |site|
        lab.say "the namesake: push of #{size} under #{RATE} reads a second"
        load = pushes(site, gets: RATE)
        silence("under #{RATE} reads/s: the namesake", load, site, target: nil)
      end
    end
  end
end
