# frozen_string_literal: true

# Decides whether a fleet kept its promises, from the answers to its visitors and the rows in its databases.
class Verdict
  def initialize(generations, report, live_path)
    @generations = generations
    @report = report
    @live_path = live_path
  end

  # Every broken promise, in words.
  def broken
    [
      *failed.first(5).map { |visit| "#{visit.kind} failed: #{visit.failure} (pid #{visit.pid})" },
      ("#{failed.size} of #{@report.count} requests failed" if failed.any?),
      ("#{stale.size} answers from old data began after OK" if stale.any?),
      ("#{missing.size} acknowledged writes are missing: #{missing.first(3).map(&:token).join(", ")}" if missing.any?),
      ("#{strayed.size} rows are in a generation that did not acknowledge them" if strayed.any?),
      ("nothing was acknowledged" if @report.count_of("post").positive? && @report.acknowledged.empty?),
      *damaged
    ].compact
  end

  def visits = @report.visits

  def acknowledged = @report.acknowledged

  def failed = @report.failures

  # Old data in answers to requests that began after a push had printed OK.
  def stale
    order = {}
    moved = @generations.pushes.select(&:moved?)
    order[@generations.kept.keys.first || @generations.live] = -1
    moved.each_with_index { |push, index| order[push.version] = index }
    @report.visits.select(&:good?).select do |visit|
      visit.version && moved.each_with_index.any? do |push, index|
        push.ok? && visit.started > push.ended && order.fetch(visit.version) < index
      end
    end
  end

  # Acknowledged rows that are missing in the generation that acknowledged them.
  def missing
    @missing ||= @report.acknowledged.reject { |visit| tokens.fetch(visit.version, {}).key?(visit.token) }
  end

  # Rows in another generation than the one that acknowledged them.
  def strayed
    promised = @report.acknowledged.to_h { |visit| [visit.token, visit.version] }
    tokens.flat_map { |version, found| found.keys.select { |token| promised[token] && promised[token] != version } }
  end

  def longest_wait = @report.visits.map { |visit| visit.ended - visit.started }.max

  private

  def files = @generations.kept.merge(@generations.live => @live_path)

  def tokens
    @tokens ||= files.transform_values do |path|
      TestDatabase.read(path) { |db| db.execute("SELECT token FROM items WHERE token IS NOT NULL").to_h { |token, *| [token, true] } }
    end
  end

  def damaged
    files.filter_map do |version, path|
      said = TestDatabase.integrity(path)
      found = TestDatabase.version(path)
      next "#{version} is damaged: #{said}" unless said == "ok"

      "#{version} holds the data of #{found}" unless found == version
    end
  end
end
