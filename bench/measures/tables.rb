# frozen_string_literal: true

module Bench
  # A push of some tables, while visitors read and write others: how long these writers wait, and how long all of it takes.
  # By hand, the sqlite3 shell replaces the same tables in one transaction. It knows no difference, so it writes every
  # row, and every writer waits for that.
  class Tables < Measure
    CONTENT = "workshop"
    TABLES = %w[posts comments].freeze
    # Which rows of a table differ. Random rows are in more pages than the newest, and SQLite writes whole pages.
    SHARES = {
      "1 %" => "abs(random()) %% 100 = 0",
      "the newest 1 %" => "id > (SELECT id FROM %<table>s ORDER BY id DESC LIMIT 1 OFFSET (SELECT count(*) / 100 FROM %<table>s))",
      "10 %" => "abs(random()) %% 10 = 0"
    }.freeze
    RATES = {gets: 100, posts: 50}.freeze
    # How much longer than without a push a writer may wait, in milliseconds.
    MORE = {"1 %" => 25, "the newest 1 %" => 25}.freeze
    WORKER = 64
    # Requests in the moments after OK belong to the push.
    AFTER = 0.5
    # How long the application is alone before each push.
    ALONE = 5
    # Visitors that found no free thread while the shell wrote come after it. They need about as long as it took.
    CALM = 3

    def rows
      lab.folder { |folder| SHARES.flat_map { |share, which| lab.site(plan.big, CONTENT) { |site| compare(site, share, changed(folder, which)) } } }
    end

    private

    # The live database, but these rows have another text.
    def changed(folder, which)
      File.join(folder, "changed.sqlite3").tap do |file|
        FileUtils.cp(original, file)
        changes = TABLES.map { |table| "UPDATE #{table} SET body = upper(body) || '!' WHERE #{format(which, table:)};" }
        Data.sql(file, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; #{changes.join} PRAGMA journal_mode=WAL;")
      end
    end

    def original = lab.data.path(plan.big, "v1", CONTENT)

    def compare(site, share, changed)
      lab.say "push of #{TABLES.join(" and ")} of #{plan.big}, #{share} of their rows differ, then by hand"
      # Each one writes the difference again.
      files = [changed, original].cycle
      log = site.swap_log
      watches = []
      pushed = visited(site) { |load| watches << push(load, site, files.next) }
      closed = Samples.new(log.closed)
      by_hand = visited(site) { |load| by_hand(load, site, files.next) }
      [silence(share, pushed, by_hand, closed), total(share, *[pushed, by_hand].map { |load| seconds(load) }),
        lost(share, site, pushed), memory(share, *[watches.map(&:worker_peak).max, watches.map(&:growth).max].map { |bytes| megabytes(bytes) })]
    end

    # Two loads, so that visitors that wait for the shell cannot meet a push.
    def visited(site)
      lab.quiet.wait
      Load.on(site, **RATES) do |load|
        load.window(:settling) { sleep 2 }
        plan.load_rounds.times { yield load }
      end
    end

    # Returns the memory that was seen meanwhile. The load has run alone before.
    def push(load, site, file)
      load.window(:alone) { sleep ALONE }
      Watch.during(site) do
        load.window(:change) { site.push(file, "--only=#{TABLES.join(",")}", "--in-place=always").tap { sleep AFTER } }
      end.tap { load.window(:pause) { site.settle } }
    end

    def by_hand(load, site, file)
      copies = TABLES.map { |table| "DELETE FROM main.#{table}; INSERT INTO main.#{table} SELECT * FROM new.#{table};" }
      took = load.window(:change) do
        Command.run("sqlite3", "-bail", "-cmd", ".timeout 60000", site.database,
          "ATTACH '#{file}' AS new; PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; #{copies.join(" ")} COMMIT;").tap { sleep AFTER }
      end
      load.window(:pause) { sleep([took * CALM, ALONE].max) }
    end

    # The longest wait of a writer in each window, by the instants at which the visitors wanted to come.
    def longest(load, window)
      waits = load.windows(window).map do |range|
        load.report.visits.select { |visit| visit.kind == "post" && range.cover?(visit.due) }.map { |visit| visit.latency * 1000 }.max
      end
      Samples.new(waits)
    end

    def seconds(load) = Samples.new(load.windows(:change).map { |range| range.end - range.begin - AFTER })

    def silence(share, pushed, by_hand, closed)
      alone, change, shell = longest(pushed, :alone), longest(pushed, :change), longest(by_hand, :change)
      worst = {"with a push" => change, "without" => alone, "by hand" => shell}.map { |what, samples| "#{what} #{samples.max.round(1)} ms" }
      Row.new("longest wait of a writer, push of tables of #{plan.big}, #{share} of the rows differ", value: change.median, unit: "ms",
        against: {"no push" => alone.median, "ATTACH, DELETE, INSERT" => shell.median}, target: MORE[share]&.then { |more| {beyond: ..more} },
        runs: change.size, note: "worst #{worst.join(", ")}; closed for #{closed.median} ms, #{closed.max} ms at most; " \
          "#{pushed.report.unsent} visitors were never sent, by hand #{by_hand.report.unsent}")
    end

    def total(share, push, by_hand)
      Row.new("push of tables of #{plan.big}, #{share} of the rows differ", value: push.median, unit: "s",
        against: {"ATTACH, DELETE, INSERT" => by_hand.median}, ratio: push.median / by_hand.median, runs: push.size)
    end

    # An answer that promised a row which is not there, or a request that failed.
    def lost(share, site, load)
      there = Data.sql(site.database, "SELECT token FROM items WHERE token NOT NULL;").lines(chomp: true)
      tokens = load.report.tokens
      Row.new("acknowledged writes lost, pushes of tables of #{plan.big}, #{share} of the rows differ", value: (tokens - there).size, unit: nil,
        target: {value: 0..0}, runs: tokens.size, note: "#{load.failures.size} requests failed")
    end

    def memory(share, worker, growth)
      Row.new("memory of a worker, push of tables of #{plan.big}, #{share} of the rows differ", value: worker, unit: "MB",
        target: {value: ..WORKER}, note: "the application grew by #{growth.round(1)} MB")
    end
  end
end
