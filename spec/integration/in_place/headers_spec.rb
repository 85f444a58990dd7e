# frozen_string_literal: true

require_relative "support/header_table"

# SQLite reads a file by its header, also in the middle of the very transaction that brings another one.
RSpec.describe "a push in place of a file with another header" do
  groups = %w[wal delete].product(%w[UTF-8 UTF-16le UTF-16be])
  groups.each_with_index do |(journal_mode, encoding), group|
    describe "into a database with journal_mode #{journal_mode} and #{encoding}" do
      before(:context) do
        @app = ItemsServer.start(settings: "config.max_pause = 3") do |server|
          HeadedDatabase.new(encoding: encoding, journal_mode: journal_mode).make(server.database_path)
        end
      end
      after(:context) { @app&.tear_down }

      attr_reader :app

      # Each group has another share of the sample.
      {"some" => {slow: true}, "all" => {thorough: true, timeout: 7_200}}.each do |share, metadata|
        it "makes the live database equal the pushed file: #{share} of the combinations", **metadata do
          pairs = (share == "all") ? HeaderTable.pairs(all: true) : HeaderTable.pairs.select.with_index { |_, nth| nth % groups.size == group }
          app.version
          @stranger = Stranger.ruby(app.database_path)
          files = %w[live new].map { |name| app.root.join("files").tap(&:mkpath).join("#{name}.sqlite3").to_s }
          wrong = pairs.filter_map do |pair|
            pair.make(*files, encoding)
            problem = files.filter_map { |file| problem_with(file) }.first
            "#{pair}: #{problem}" if problem
          end
          expect(wrong).to be_empty, "#{wrong.size} of #{pairs.size}:\n#{wrong.join("\n")}"
        end
      end
    end
  end

  # What differs from the pushed file, or nil.
  def problem_with(file)
    log = app.log.length
    result = app.hotswap("cp", file, "database", "--in-place=always")
    return result.stderr unless result.success?

    eventually { app.log[log..].include?("push complete") }
    live = app.database_path
    found = {
      "integrity" => [TestDatabase.integrity(live), "ok"],
      "rows" => [TestDatabase.content(live), TestDatabase.content(file)],
      "search" => [matches(live), matches(file)],
      "header" => [header(live), header(file)],
      "proof" => [app.log[log..][/the live database equals the pushed file|writing every page/], "the live database equals the pushed file"]
    }
    found.filter_map { |what, (is, should_be)| "#{what}: #{is.to_s[0, 200]}, not #{should_be.to_s[0, 200]}" if is != should_be }.first
  end

  # Which row the full-text index finds for each word.
  def matches(path)
    TestDatabase.read(path) { |db| db.execute("SELECT word, (SELECT title FROM search WHERE search MATCH word) FROM words ORDER BY word") }
  end

  # With the number of pages rewritten, it may be that another page is the last root; that there is one does not change.
  def header(path) = HeadedDatabase.header(path).merge(largest_root: HeadedDatabase.header(path)[:largest_root].positive?)
end
