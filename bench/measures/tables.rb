# frozen_string_literal: true

module Bench
  # A push of some tables, while visitors write others: how long these writers wait, and how long all of it takes. By
  # hand, the sqlite3 shell replaces the same tables in one transaction. It knows no difference, so it writes every row,
  # and every writer waits for that.
  class Tables < Measure
    CONTENT = "workshop"
    TABLES = %w[posts comments].freeze
    SHARES = {"1 %" => 100, "10 %" => 10}.freeze
    RATES = {gets: 100, posts: 50}.freeze
    # How much longer than without a push a writer may wait, in milliseconds, where 1 % of the rows differ.
    MORE = 25
    WORKER = 64
    # Requests in the moments after OK belong to the push.
    AFTER = 0.5

    def rows
      lab.folder { |folder| SHARES.flat_map { |share, nth| lab.site(plan.big, CONTENT) { |site| compare(site, share, changed(folder, nth)) } } }
    end

    private

    # The live database, but one of so many rows has another text.
    def changed(folder, nth)
      File.join(folder, "changed.sqlite3").tap do |file|
        FileUtils.cp(original, file)
        changes = TABLES.map { |table| "UPDATE #{table} SET body = upper(body) || '!' WHERE abs(random()) % #{nth} = 0;" }
        Data.sql(file, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; #{changes.join} PRAGMA journal_mode=WAL;")
      end
    end

    def original = lab.data.path(plan.big, "v1", CONTENT)

    def compare(site, share, changed)
      lab.say "push of #{TABLES.join(" and ")} of #{plan.big}, #{share} of their rows differ, and by hand, in turn"
      load = nil
      watch = Watch.during(site) { load = pushes(site, [changed, original].cycle) }
      times = %i[push by_hand].map { |window| Samples.new(load.windows(window).map { |range| range.end - range.begin - AFTER }) }
      [silence(share, load), total(share, *times), memory(share, megabytes(watch.worker_peak), megabytes(watch.growth))]
    end

    def pushes(site, files)
      lab.quiet.wait
      Load.on(site, **RATES) do |running|
        running.window(:settling) { sleep 1 }
        plan.load_rounds.times do
          file = files.next
          seconds = running.window(:push) { site.push(file, "--only=#{TABLES.join(",")}", "--in-place=always").tap { sleep AFTER } }
          running.window(:pause) { site.settle }
          running.window(:idle) { sleep(seconds + AFTER) }
          file = files.next
          running.window(:by_hand) { by_hand(site, file).tap { sleep AFTER } }
          running.window(:pause) { site.settle }
          # The next round pushes the other file, too.
          files.next
        end
      end
    end

    def by_hand(site, file)
      copies = TABLES.map { |table| "DELETE FROM main.#{table}; INSERT INTO main.#{table} SELECT * FROM new.#{table};" }
      Command.run("sqlite3", "-bail", "-cmd", ".timeout 60000", site.database,
        "ATTACH '#{file}' AS new; PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; #{copies.join(" ")} COMMIT;")
    end

    # Only a write waits: a reader of a WAL does not.
    def silence(share, load)
      pushed, idle, by_hand = %i[push idle by_hand].map { |window| load.latencies(window, "post") }
      lost = load.windows(:push).sum { |range| load.report.answered_in(range).failures.size }
      failed = load.failures.size - lost
      Row.new("longest wait of a writer, push of tables of #{plan.big}, #{share} of the rows differ", value: pushed.max, unit: "ms",
        against: {"no push" => idle.max, "ATTACH, DELETE, INSERT" => by_hand.max}, target: ({value: ..(idle.max + MORE)} if share == "1 %"),
        runs: load.windows(:push).size, note: "#{lost} requests failed, by hand #{failed}")
    end

    def total(share, push, by_hand)
      Row.new("push of tables of #{plan.big}, #{share} of the rows differ", value: push.median, unit: "s",
        against: {"ATTACH, DELETE, INSERT" => by_hand.median}, ratio: push.median / by_hand.median, runs: push.size)
    end

    def memory(share, worker, growth)
      Row.new("memory of a worker, push of tables of #{plan.big}, #{share} of the rows differ", value: worker, unit: "MB",
        target: {value: ..WORKER}, note: "the application grew by #{growth.round(1)} MB")
    end
  end
end
