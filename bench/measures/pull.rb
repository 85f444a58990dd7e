# frozen_string_literal: true

module Bench
  # How long a pull takes: to a file, durable, against cp and a sync of the copy; into a redirected file and into a
  # pipe, against cat.
  class Pull < Measure
    FILE = {ratio: ..1.1}.freeze
    IDENTITY = {ratio: ..1.05}.freeze
    REDACTED = {ratio: ..3.0}.freeze
    MEMORY = {value: ..64}.freeze
    STREAM = {ratio: ..2.0}.freeze

    def rows
      plan.sizes.flat_map { |size| on_contents(every: size == plan.big) { |content| ways(size, content) } } + identity + redacted + [second_copy]
    end

    private

    def ways(size, content)
      lab.folder do |folder|
        lab.site(size, content) { |site| to_a_file(size, site, folder) + redirected(size, site, folder) + to_a_pipe(size, site) }
      end
    end

    def to_a_file(size, site, folder)
      lab.say "pull of #{size} to a file: hotswap, cp, .backup, VACUUM INTO in turn"
      copy = File.join(folder, "copy.sqlite3")
      names = {"LIVE" => site.database, "COPY" => copy}
      rounds = lab.rounds(plan.rounds_of(size),
        hotswap: -> { afresh(site, copy) { site.pull(copy) } },
        cp: -> { afresh(site, copy) { Command.shell(%(cp "$LIVE" "$COPY"; sync "$COPY"), env: names) } },
        backup: -> { afresh(site, copy) { Command.shell(%(sqlite3 "$LIVE" ".backup '$COPY'"; sync "$COPY"), env: names) } },
        vacuum: -> { afresh(site, copy) { Command.shell(%(sqlite3 "$LIVE" "VACUUM INTO '$COPY'"; sync "$COPY"), env: names) } })
      [Row.new("pull of #{size} to a file, durable", value: rounds[:hotswap].median, unit: "s",
        against: {"cp, sync" => rounds[:cp].median, ".backup, sync" => rounds[:backup].median, "VACUUM INTO, sync" => rounds[:vacuum].median},
        ratio: rounds.ratio(:hotswap, :cp), target: for_large(size, FILE), runs: rounds.size)]
    end

    # hotswap waits until the file is on the disk, as the exit status 0 says. cat alone does not.
    def redirected(size, site, folder)
      lab.say "pull of #{size} into a redirected file: hotswap, cat and sync, cat in turn"
      copy = File.join(folder, "copy.sqlite3")
      names = {"LIVE" => site.database, "COPY" => copy}
      rounds = lab.rounds(plan.rounds_of(size),
        hotswap: -> { afresh(site, copy) { site.pull_redirected(copy) } },
        synced: -> { afresh(site, copy) { Command.shell(%(cat "$LIVE" > "$COPY"; sync "$COPY"), env: names) } },
        cat: -> { afresh(site, copy) { Command.shell(%(cat "$LIVE" > "$COPY"), env: names) } })
      [Row.new("pull of #{size} into a redirected file, durable", value: rounds[:hotswap].median, unit: "s",
        against: {"cat, sync" => rounds[:synced].median, "cat" => rounds[:cat].median},
        ratio: rounds.ratio(:hotswap, :synced), target: for_large(size, FILE), runs: rounds.size)]
    end

    # Every copy is made anew, and nothing of the one before is still being written.
    def afresh(site, copy)
      yield.tap do
        FileUtils.rm_f(copy)
        site.settle
      end
    end

    def to_a_pipe(size, site)
      lab.say "pull of #{size} into a pipe: hotswap, cat in turn"
      rounds = lab.rounds(plan.rounds_of(size),
        hotswap: -> { site.pull_stream.tap { site.settle } },
        cat: -> { Command.shell(%(cat "$LIVE" | cat > /dev/null), env: {"LIVE" => site.database}) })
      [Row.new("pull of #{size} into a pipe", value: rounds[:hotswap].median, unit: "s", against: {"cat" => rounds[:cat].median},
        ratio: rounds.ratio(:hotswap, :cat), target: for_large(size, STREAM), runs: rounds.size)]
    end

    # With --quiet, a pull computes no identity.
    def identity
      lab.folder do |folder|
        lab.site(plan.big) do |site|
          copy = File.join(folder, "copy.sqlite3")
          {
            "to a file" => ->(*options) { afresh(site, copy) { site.pull(copy, *options) } },
            "into a pipe" => ->(*options) { site.pull_stream(*options).tap { site.settle } }
          }.map { |where, pull| with_identity(where, pull) }
        end
      end
    end

    def with_identity(where, pull)
      lab.say "pull of #{plan.big} #{where}: with its identity, without in turn"
      rounds = lab.rounds(plan.rounds_of(plan.big) * 5, with: -> { pull.call }, without: -> { pull.call("--quiet") })
      Row.new("pull of #{plan.big} #{where}, with its identity", value: rounds[:with].median, unit: "s",
        against: {"without" => rounds[:without].median}, ratio: rounds.ratio(:with, :without), target: for_large(plan.big, IDENTITY), runs: rounds.size)
    end

    # The copy is built anew, with every table but one as it is.
    def redacted
      lab.folder do |folder|
        lab.site(plan.big) do |site|
          copy = File.join(folder, "copy.sqlite3")
          options = ["--except", "schema_migrations"]
          lab.say "redacted pull of #{plan.big}: built anew, plain in turn"
          rounds = lab.rounds(plan.rounds_of(plan.big), anew: -> { afresh(site, copy) { site.pull(copy, *options) } }, plain: -> { afresh(site, copy) { site.pull(copy) } })
          watch = Watch.during(site) { site.pull(copy, *options) }
          [
            Row.new("redacted pull of #{plan.big} against a plain pull", value: rounds[:anew].median, unit: "s", against: {"plain" => rounds[:plain].median},
              ratio: rounds.ratio(:anew, :plain), target: for_large(plan.big, REDACTED), runs: rounds.size),
            Row.new("memory of the worker in a redacted pull of #{plan.big}", value: megabytes(watch.worker_peak), unit: "MB", target: MEMORY)
          ]
        end
      end
    end

    def second_copy
      lab.site(plan.big) do |site|
        watch = Watch.during(site) { site.pull_stream }
        Row.new("written to the disk by a pull of #{plan.big} into a pipe", value: megabytes(watch.worker_written), unit: "MB", target: {value: ..1})
      end
    end
  end
end
