# frozen_string_literal: true

require "etc"

module Bench
  # How a pull affects 100 requests a second, and how 100 writes a second affect a pull.
  class PullUnderLoad < Measure
    RATE = 100
    AFTER = 0.3
    PATIENCE = {"full" => 20, "quick" => 5}.freeze

    def rows
      lab.folder { |folder| lab.site(plan.big) { |site| reads(site, folder) + writes(site, folder) } }
    end

    private

    def reads(site, folder)
      lab.say "pull of #{plan.big} under #{RATE} reads a second"
      load = pulls(site, folder, gets: RATE).first
      latencies("requests", load)
    end

    def writes(site, folder)
      lab.say "pull of #{plan.big} under #{RATE} writes a second"
      load, rounds = pulls(site, folder, gets: 0, posts: RATE)
      [
        Row.new("pull of #{plan.big} to a file under #{RATE} writes/s", value: rounds[:hotswap].median, unit: "s",
          against: {"cp, sync" => rounds[:cp].median}, ratio: rounds.ratio(:hotswap, :cp), target: for_large(plan.big, {ratio: ..1.1}), runs: rounds.size,
          note: backup(site, folder)),
        Row.new("pull of #{plan.big} into a pipe under #{RATE} writes/s", value: rounds[:stream].median, unit: "s",
          against: {"cat" => rounds[:cat].median}, ratio: rounds.ratio(:stream, :cat), target: for_large(plan.big, {ratio: ..2.0}), runs: rounds.size),
        *latencies("writes", load)
      ]
    end

    def pulls(site, folder, **rates)
      rounds = nil
      lab.quiet.wait
      load = Load.on(site, **rates) do |running|
        running.window(:settling) { sleep 1 }
        rounds = Rounds.run(plan.load_rounds * 2, **ways(running, site, File.join(folder, "copy.sqlite3")))
      end
      raise "#{load.failures.size} requests failed: #{load.report.failure_counts}" if load.failures.any?

      [load, rounds]
    end

    def ways(load, site, copy)
      names = {"LIVE" => site.database, "COPY" => copy}
      timed = lambda do |window, &command|
        seconds = load.window(window, &command)
        # Requests that are under way belong to the measured command, not to the removal of a gigabyte.
        sleep AFTER
        FileUtils.rm_f(copy)
        site.settle
        load.window(:idle) { sleep 1 }
        seconds
      end
      {
        hotswap: -> { copying(load, site) { timed.call(:pull) { site.pull(copy) } } },
        cp: -> { timed.call(:cp) { Command.shell(%(cp "$LIVE" "$COPY"; sync "$COPY"), env: names) } },
        stream: -> { timed.call(:stream) { site.pull_stream } },
        cat: -> { timed.call(:cat) { Command.shell(%(cat "$LIVE" | cat > /dev/null), env: names) } },
        ruby: -> { timed.call(:ruby) { Command.run(RbConfig.ruby, "-e", "1") } }
      }
    end

    # Marks the worker's part of a pull, without the start of the client.
    def copying(load, site)
      log = site.swap_log
      yield.tap { load.mark(:copying, log.pull) }
    end

    # The shell starts over with every write of another process, and so may never end.
    def backup(site, folder)
      copy = File.join(folder, "backup.sqlite3")
      patience = PATIENCE.fetch(plan.name)
      seconds = nil
      Load.on(site, gets: 0, posts: RATE) do |_|
        seconds = Command.run("sqlite3", site.database, ".backup '#{copy}'", patience: patience)
      rescue Command::Endless
        nil
      end
      "sqlite3's .backup #{seconds ? "#{seconds.round(2)} s" : "had not ended after #{patience} s"}"
    ensure
      FileUtils.rm_f(copy)
    end

    def latencies(whose, load)
      target = for_large(plan.big, {ratio: ..1.2})
      p99 = ->(window) { load.latencies(window).percentile(99) }
      row = lambda do |name, window, against, **more|
        Row.new("p99 of #{whose} #{name}", value: p99[window], unit: "ms", against: against, ratio: p99[window] / p99[:idle],
          target: target, runs: load.latencies(window).size, **more)
      end
      [
        row.call("during a pull of #{plan.big}", :pull, {"idle" => p99[:idle], "cp, sync" => p99[:cp], "ruby -e 1" => p99[:ruby]},
          note: "runs counts requests; into a pipe #{p99[:stream].round(1)} ms", missed: -> { "the client is a Ruby program that starts" }),
        row.call("while the worker copies", :copying, {"idle" => p99[:idle]},
          missed: -> { "the copy takes one of #{Etc.nprocessors} cores; cp and sync come to #{(p99[:cp] / p99[:idle]).round(2)} ×" })
      ]
    end
  end
end
