# frozen_string_literal: true

module Bench
  # For how long nobody has the database while its content is replaced in place, by the server's own log, against the
  # shell's .restore, which does the same and asks nobody: where a hundredth of it differs, and where all of it does.
  class InPlace < Measure
    SIZE = Data::SIZES.fetch("100 MB")
    CHANGES = {
      "a hundredth" => "UPDATE posts SET title = 'New ' || substr(title, 5) WHERE id <= (SELECT max(id) / 100 FROM posts)",
      "all" => "UPDATE posts SET body = hex(randomblob(length(body) / 2))"
    }.freeze

    def rows
      lab.folder do |folder|
        CHANGES.map { |how_much, change| lab.site(SIZE) { |site| compare(site, how_much, changed(folder, change)) } }
      end
    end

    private

    def changed(folder, change)
      File.join(folder, "changed.sqlite3").tap do |file|
        FileUtils.cp(lab.data.path(SIZE), file)
        Data.sql(file, "PRAGMA journal_mode=DELETE; #{change}; PRAGMA journal_mode=WAL;")
      end
    end

    # There and back again, so that each time as much differs.
    def compare(site, how_much, changed)
      lab.say "in place, #{how_much} of #{SIZE} differs, and .restore, in turn"
      files = [changed, lab.data.path(SIZE)].cycle
      rounds = lab.rounds(plan.rounds_of(SIZE), push: -> { push(site, files.next) }, restore: -> { restore(site, files.next) })
      Row.new("in place, #{how_much} of #{SIZE} differs: closed", value: rounds[:push].median, unit: "ms",
        against: {"sqlite3 .restore" => rounds[:restore].median}, ratio: rounds.ratio(:push, :restore), runs: rounds.size)
    end

    def push(site, file)
      log = site.swap_log
      site.push(file, "--in-place=always")
      site.settle
      log.closed.first
    end

    def restore(site, file)
      milliseconds(Command.run("sqlite3", site.database, ".restore '#{file}'")).tap { lab.settle }
    end
  end
end
