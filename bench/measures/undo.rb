# frozen_string_literal: true

module Bench
  # What it costs to keep the previous version: how long the database is closed to every process during a push, with
  # keep = 1 against keep = 0, by rename and in place. And what a rollback of a large database costs, against a push
  # without the check, and against a copy of the file.
  class Undo < Measure
    # How much longer a push by rename may be closed, in milliseconds.
    MORE = 0.3

    def rows
      size = plan.sizes.first
      [closed(size), closed(size, "--in-place=always"), *rollbacks(plan.big)]
    end

    private

    def closed(size, *flags)
      way = flags.empty? ? "by rename" : "in place"
      kept, none = [1, 0].map do |keep|
        lab.say "the gate closed: a push of #{size} #{way}, keep = #{keep}"
        lab.site(size, keep: keep) { |site| Samples.new(pushes(site, size, *flags)) }
      end
      limit = flags.empty? ? none.median + MORE : none.median * 1.05
      Row.new("push of #{size} #{way}, keep = 1: closed", value: kept.median, unit: "ms", against: {"keep = 0" => none.median},
        target: {value: ..limit}, runs: count, note: "at most #{kept.max.round(2)} ms, with keep = 0 #{none.max.round(2)} ms")
    end

    # One file and then the other, so that there is something to write each time.
    def pushes(site, size, *flags)
      files = %w[v2 v1].map { |version| lab.data.path(size, version) }.cycle
      Array.new(count) { closed_by(site) { site.push(files.next, "--skip-integrity-check", *flags) } }
    end

    def rollbacks(size)
      lab.say "rollback of #{size}, a push of it, and a copy, in turn"
      lab.site(size) do |site|
        site.push(lab.data.path(size, "v2"), "--skip-integrity-check")
        site.settle
        took = lab.rounds(plan.rounds_of(size), rollback: -> { timed(site) { site.rollback } }, copy: -> { copy(site) })
        closed = Samples.new(Array.new(plan.rounds_of(size)) { closed_by(site) { site.rollback } })
        [
          Row.new("rollback of #{size}", value: took[:rollback].median, unit: "ms", against: {"cp, sync" => took[:copy].median},
            target: {value: ..500}, runs: took.size, note: "closed for #{closed.median.round(2)} ms, at most #{closed.max.round(2)} ms")
        ]
      end
    end

    def count = plan.full? ? 30 : 5

    def closed_by(site)
      log = site.swap_log
      yield
      site.settle
      log.closed.first
    end

    def timed(site) = milliseconds(yield).tap { site.settle }

    def copy(site)
      target = site.path("storage/copied")
      milliseconds(Command.run("sh", "-c", "cp \"$0\" \"$1\" && sync \"$1\"", site.database, target)).tap do
        FileUtils.rm_f(target)
        lab.settle
      end
    end
  end
end
