# frozen_string_literal: true

module Bench
  # How long a durable push takes, compared with what a user would type to get a checked copy: cp, a sync of the
  # copy, and the shell's integrity_check, one after the other.
  class Push < Measure
    # The name of each way, its method, and its target.
    WAYS = {
      file: ["from a file", :push, {ratio: ..0.6}],
      stream: ["from a file as stdin", :push_stream, {ratio: ..0.7}],
      pipe: ["through a pipe", :push_pipe, {ratio: ..0.7}]
    }.freeze
    # A database that is larger than the kernel's limit for dirty pages is copied at the speed of the disk.
    HUGE = {ratio: ..0.8}.freeze
    STAGES = {copy: "copy", check: "check", swap: "swap"}.freeze

    def rows
      plan.sizes.flat_map do |size|
        on_contents(every: size == plan.big) { |content| lab.folder { |folder| lab.site(size, content) { |site| compare(size, content, site, folder) } } }
      end
    end

    private

    def compare(size, content, site, folder)
      lab.say "push of #{size} in #{content}: #{WAYS.values.map(&:first).join(", ")}, by hand, in turn"
      file = lab.data.path(size, "v2", content)
      stages = Hash.new { |all, way| all[way] = [] }
      pushes = WAYS.to_h do |way, (_, command, _)|
        [way, -> { pushed(site) { staged(stages[way], site) { site.public_send(command, file) } } }]
      end
      rounds = lab.rounds(plan.rounds_of(size), **pushes, hand: -> { by_hand(file, folder) })
      WAYS.map { |way, (how, _, target)| row(size, how, rounds, way, target, stages[way]) } + peers(size, file, rounds)
    end

    def pushed(site)
      seconds = yield
      raise "the site serves #{site.version} after a push of v2" unless site.version == "v2"

      site.settle
      seconds
    end

    def by_hand(file, folder)
      copy = File.join(folder, "copy.sqlite3")
      seconds = Command.shell(%(cp "$FILE" "$COPY"; sync "$COPY"; sqlite3 "$COPY" "PRAGMA integrity_check"), env: {"FILE" => file, "COPY" => copy})
      FileUtils.rm_f(copy)
      lab.settle
      seconds
    end

    # Records the time of each stage of a push, from the log.
    def staged(stages, site)
      log = site.swap_log
      yield.tap { stages << log.stages }
    end

    def row(size, how, rounds, side, target, stages)
      Row.new("push of #{size} #{how}, durable", value: rounds[side].median, unit: "s",
        against: {"cp, sync, integrity_check" => rounds[:hand].median}, ratio: rounds.ratio(side, :hand),
        target: (size.bytes > LARGE) ? HUGE : for_large(size, target), runs: rounds.size, note: times(stages),
        missed: -> { limit(size) })
    end

    # What limits a push that misses its target.
    def limit(size)
      return "what SQLite's check takes is one core's time, and the same by hand" if size.bytes <= plan.big.bytes

      "what does not fit into memory that may wait is copied as fast as the disk takes 16 MB at a time, so that no commit waits longer for it; by hand it gets all at once"
    end

    def times(stages)
      parts = STAGES.filter_map do |stage, name|
        spans = stages.filter_map { |one| one[stage] }
        "#{name} #{Samples.new(spans.map { |span| span.end - span.begin }).median.round(3)} s" unless spans.empty?
      end
      parts.join(", ") unless parts.empty?
    end

    # With another server, so that the memory it leaves behind does not affect the others.
    def peers(size, file, rounds)
      return [] unless namesake?

      lab.site(size, bundle: :namesake) do |site|
        theirs = lab.rounds(plan.rounds_of(size), file: -> { site.push(file).tap { site.settle } }, stream: -> { site.push_stream(file).tap { site.settle } })
        {file: "from a file", stream: "from a file as stdin"}.map do |side, how|
          Row.new("push of #{size} #{how}: the namesake (not durable)", value: theirs[side].median, unit: "s",
            against: {"cp, sync, integrity_check" => rounds[:hand].median}, ratio: theirs[side].median / rounds[:hand].median, runs: theirs.size)
        end
      end
    end
  end
end
