# frozen_string_literal: true

module Bench
  # How long the database is closed to every process while a push replaces its content in place, according to the
  # server's log, against .restore of the sqlite3 shell, which does the same without asking the application. The time
  # depends on how many pages differ: hotswap writes whole pages, so one changed row makes it write one page.
  class InPlace < Measure
    SIZE = Data::SIZES.fetch("100 MB")
    USERS = {
      "accounts" => "name = lower(hex(randomblob(8)))",
      "orders" => "total_cents = total_cents + 1",
      "line_items" => "quantity = quantity + 1",
      "events" => "payload = hex(randomblob(length(payload) / 2))",
      "documents" => "checksum = lower(hex(randomblob(20)))"
    }.freeze
    WORKSHOP = {
      "users" => "last_seen_at = created_at",
      "posts" => "title = upper(title) || '.'",
      "comments" => "body = upper(body)"
    }.freeze
    # What changes in a row of each table.
    TABLES = {"random order" => USERS, "key order" => USERS, "workshop" => WORKSHOP}.freeze
    ROWS = {
      "the newest 1 % of the rows" => "rowid > (SELECT max(rowid) * 99 / 100 FROM %s)",
      "1 % of the rows, at random," => "abs(random()) %% 100 = 0 /* of %s */",
      "every row" => "rowid > 0 /* of %s */"
    }.freeze

    def rows
      on_contents do |content|
        lab.folder { |folder| ROWS.map { |which, rows| lab.site(SIZE, content) { |site| compare(site, content, which, changed(folder, content, rows)) } } }
      end
    end

    private

    def changed(folder, content, rows)
      File.join(folder, "changed.sqlite3").tap do |file|
        FileUtils.cp(lab.data.path(SIZE, "v1", content), file)
        changes = TABLES.fetch(content).map { |table, change| "UPDATE #{table} SET #{change} WHERE #{format(rows, table)};" }
        Data.sql(file, "PRAGMA journal_mode=DELETE; #{changes.join} PRAGMA journal_mode=WAL;")
      end
    end

    # Pushes one file and then the other, so that the difference is the same each time.
    def compare(site, content, which, changed)
      lab.say "in place, #{which} of #{SIZE} in #{content} differs, and .restore, in turn"
      original = lab.data.path(SIZE, "v1", content)
      files = [changed, original].cycle
      @estimates = []
      rounds = lab.rounds(plan.rounds_of(SIZE), push: -> { push(site, files.next) }, restore: -> { restore(site, files.next) })
      Row.new("in place, #{which} of #{SIZE} changed: closed", value: rounds[:push].median, unit: "ms",
        against: {"sqlite3 .restore" => rounds[:restore].median}, ratio: rounds.ratio(:push, :restore), runs: rounds.size,
        note: "#{share(original, changed)} % of the pages differ; the estimates were #{@estimates.min} to #{@estimates.max} times the real time")
    end

    PAGE = 4096

    def share(one, other)
      pages = [one, other].map { |path| File.binread(path).unpack("a#{PAGE}" * (File.size(path) / PAGE)) }
      differing = pages.first.zip(pages.last).count { |ours, theirs| ours != theirs }
      (100.0 * differing / pages.first.size).round
    end

    def push(site, file)
      log = site.swap_log
      site.push(file, "--in-place=always")
      site.settle
      log.closed.first.tap { |real| @estimates << (log.estimated.first / real).round(2) }
    end

    def restore(site, file)
      milliseconds(Command.run("sqlite3", site.database, ".restore '#{file}'")).tap { lab.settle }
    end
  end
end
