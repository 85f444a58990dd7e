# frozen_string_literal: true

require "etc"

module Bench
  # Measures config.hotswap.low_priority while other programs keep every core busy: how much longer a push takes, and
  # how it affects the latency of requests, with and without the setting.
  class Busy < Measure
    RATE = 50

    def rows = [true, false].flat_map { |low| lab.site(plan.big, low_priority: low) { |site| compare(site, low ? "low priority" : "equal priority") } }

    private

    def compare(site, priority)
      lab.say "push of #{plan.big} with every core busy, #{priority}"
      quiet = Samples.new(Array.new(3) { push(site) })
      lab.quiet.wait
      load = every_core_busy { Load.on(site, gets: RATE) { |running| pushes(site, running) } }
      [time(load, quiet, priority), latency(load, priority)]
    end

    def pushes(site, running)
      running.window(:settling) { sleep 1 }
      (plan.full? ? 3 : 1).times do
        running.window(:idle) { sleep 3 }
        running.window(:push) { push(site) }
        site.settle
      end
    end

    def push(site) = site.push(lab.data.path(plan.big, "v2")).tap { site.settle }

    def time(load, quiet, priority)
      busy = Samples.new(load.windows(:push).map { |range| range.end - range.begin })
      Row.new("push of #{plan.big}, every core busy, #{priority}", value: busy.median, unit: "s", against: {"nothing else runs" => quiet.median},
        ratio: busy.median / quiet.median, runs: busy.size)
    end

    def latency(load, priority)
      idle, push = %i[idle push].map { |window| load.latencies(window) }
      Row.new("p99 of requests meanwhile, #{priority}", value: push.percentile(99), unit: "ms", against: {"no push" => idle.percentile(99)},
        ratio: push.percentile(99) / idle.percentile(99), runs: push.size, note: "p50 #{push.median.round(1)} ms, without a push #{idle.median.round(1)} ms")
    end

    def every_core_busy
      spinning = Array.new(Etc.nprocessors) { Process.spawn(RbConfig.ruby, "--disable-gems", "-e", "loop {}") }
      yield
    ensure
      spinning.each do |process|
        Process.kill("KILL", process)
        Process.wait(process)
      end
    end
  end
end
