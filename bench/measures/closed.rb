# frozen_string_literal: true

module Bench
  # How long the database is closed to every process during a swap, according to the server's log: the time beyond
  # the drain, and how long requests that arrived in the meantime had to wait. At rest, and while another program
  # keeps a core busy.
  class Closed < Measure
    LIMIT = {value: ..2}.freeze
    SWAPS = {"1 MB" => 30, "100 MB" => 10, "1 GB" => 6, "4 GB" => 3}.freeze
    RATES = {gets: 100}.freeze

    def rows
      plan.fleets.flat_map do |workers|
        plan.sizes.flat_map do |size|
          on_contents(every: size == plan.big && workers == plan.fleets.first) do |content|
            lab.site(size, content, workers: workers) { |site| swaps(site, size, content) }
          end
        end
      end
    end

    private

    def swaps(site, size, content)
      rows = [row(site, size, content)]
      rows << busy { row(site, size, content, ", a core busy") } if size == plan.sizes.first
      rows
    end

    def row(site, size, content, how = "")
      fleet = "#{site.workers} worker#{"s" unless site.workers == 1}"
      lab.say "the gate closed: #{fleet}, #{size}#{how}"
      log = site.swap_log
      @syncs = []
      count = plan.full? ? SWAPS.fetch(size.label) : 4
      lab.quiet.wait
      load = Load.on(site, **RATES) { |_| count.times { swap(site, size, content) } }
      raise "#{load.failures.size} requests failed: #{load.report.failure_counts}" if load.failures.any?

      closed, held = log.closed, log.held_back
      raise "#{count} swaps, and the log tells of #{closed.size}" unless closed.size == count

      closed = Samples.new(closed)
      syncs = Samples.new(@syncs)
      Row.new("gate closed beyond the drain, #{fleet}, #{size}#{how}: p99", value: closed.percentile(99), unit: "ms",
        against: {"its two folder syncs by hand" => syncs.percentile(99)}, target: LIMIT, runs: count,
        note: ["p50 #{closed.median.round(2)} ms, of the syncs #{syncs.median.round(2)} ms", *waits(held)].join("; "),
        missed: -> { "the disk alone took #{(syncs.percentile(99) / closed.percentile(99)).round(2)} of that, by hand and beside each swap" })
    end

    def waits(held)
      return if held.empty?

      held = Samples.new(held)
      "requests were held back for #{held.median.round(1)} ms (median), at most #{held.max.round(1)} ms"
    end

    # Does by hand what a swap does to the disk with the gate closed: removes a name and moves a name, both durably.
    def sync_by_hand(site)
      names = %w[probe moved].map { |name| site.path("storage/#{name}") }
      File.open(File.dirname(names.first)) { |folder| unlink_and_rename(folder, *names) }
    end

    def unlink_and_rename(folder, probe, moved)
      [probe, moved].each { |name| File.write(name, "") }
      folder.fsync
      seconds = Clock.time do
        File.delete(moved)
        folder.fsync
        File.rename(probe, moved)
        folder.fsync
      end
      File.delete(moved)
      milliseconds(seconds)
    end

    # Without the check, which has ended long before the gate closes.
    def swap(site, size, content)
      site.push(lab.data.path(size, "v2", content), "--skip-integrity-check")
      site.settle
      @syncs << sync_by_hand(site)
    end

    def busy
      spinning = Process.spawn(RbConfig.ruby, "--disable-gems", "-e", "loop {}")
      yield
    ensure
      Process.kill("KILL", spinning)
      Process.wait(spinning)
    end
  end
end
