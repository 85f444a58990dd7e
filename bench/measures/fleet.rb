# frozen_string_literal: true

require_relative "../generation"

module Bench
  # Many swaps under reads and writes, in every way that Puma runs an application: counts stale answers, lost writes,
  # and damaged databases.
  class Fleet < Measure
    GETS = 100
    POSTS = 50
    # The pause between two swaps, long enough to get answers that prove something.
    BREATH = 0.2

    def rows = plan.modes.flat_map { |server, preload, workers| mode(server, preload, workers) }

    private

    def mode(server, preload, workers)
      name = "#{(server == :rails) ? "rails server" : "puma, #{"no " unless preload}preload"}, #{workers} worker#{"s" if workers > 1}"
      lab.say "#{plan.swaps} swaps under load: #{name}"
      lab.folder do |folder|
        lab.site(Data::SIZES["1 MB"], server: server, preload: preload, workers: workers) do |site|
          generations, load = swaps(site, folder)
          judge(name, generations, load, site)
        end
      end
    end

    def swaps(site, folder)
      files = files(folder)
      generations = [Generation.new("v1")]
      lab.quiet.wait
      load = Load.on(site, gets: GETS, posts: POSTS) do |running|
        running.window(:settling) { sleep 1 }
        generations.first.ok = Clock.now
        running.window(:idle) { sleep [plan.swaps / 4.0, 2].max }
        files.each { |name, file| generations << swap(running, site, generations.last, name, file, folder) }
        running.window(:end) { sleep 0.5 }
      end
      generations.last.replaced = load.report.stopped
      generations.last.inspect_file(site.database)
      [generations, load]
    end

    # Every other file has more pages, in another order.
    def files(folder)
      sizes = [lab.data.path(Data::SIZES["1 MB"]), grown(folder)]
      Array.new(plan.swaps) do |n|
        file = File.join(folder, "g#{n}.sqlite3")
        FileUtils.cp(sizes[(n + 1) % 2], file)
        Data.name(file, "g#{n}")
        ["g#{n}", file]
      end
    end

    def grown(folder)
      File.join(folder, "grown.sqlite3").tap do |file|
        FileUtils.cp(lab.data.path(Data::SIZES["1 MB"]), file)
        Data.sql(file, <<~SQL)
          UPDATE posts SET body = body || body;
          VACUUM;
        SQL
      end
    end

    def swap(load, site, old, name, file, folder)
      generation = Generation.new(name)
      old.hold(site.database)
      old.replaced = generation.began = Clock.now
      load.window(:swap) do
        site.push(file)
        generation.ok = Clock.now
        sleep BREATH
      end
      old.inspect_replaced(site.database, File.join(folder, "replaced.sqlite3"))
      generation
    end

    def judge(name, generations, load, site)
      after_ok = generations.drop(1).map { |one| [one, load.report.started_in(one.ok..one.replaced).versions] }
      old = after_ok.sum { |one, versions| versions.except(one.name).values.sum }
      written = load.report.acknowledged.group_by(&:version).transform_values { |visits| visits.map(&:token) }
      missing = generations.sum { |one| (written.fetch(one.name, []) - one.tokens).size }
      unknown = written.except(*generations.map(&:name)).values.sum(&:size)
      ghosts = generations.sum { |one| (one.tokens & written.except(one.name).values.flatten).size }
      damaged = generations.reject { |one| one.verdict == "ok" }
      answers = after_ok.sum { |_, versions| versions.values.sum }
      [
        zero("answers with old data after OK: #{name}", old, "of #{answers}"),
        zero("acknowledged writes missing: #{name}", missing + unknown, "of #{written.values.sum(&:size)}"),
        zero("rows of an old database in a new one: #{name}", ghosts),
        zero("answers that were no 2xx: #{name}", load.failures.size, ["of #{load.report.count}", *load.report.failure_counts.keys.first(3)].join("; ")),
        zero("databases damaged: #{name}", damaged.size, ["of #{generations.size}", *damaged.map(&:verdict).uniq.first(3)].join("; ")),
        silence(name, load)
      ]
    end

    def zero(name, count, note = nil) = Row.new(name, value: count, unit: "", target: {value: 0..0}, runs: plan.swaps, note: note)

    def silence(name, load)
      swapped = load.silences(:swap)
      idle = load.silences(:idle)
      Row.new("longest silence of all swaps: #{name}", value: swapped.max, unit: "ms", against: {"no swap" => idle.max},
        target: {beyond: ..25}, runs: swapped.size, note: "median of the swaps #{swapped.median.round(1)} ms, p99 #{swapped.percentile(99).round(1)} ms")
    end
  end
end
