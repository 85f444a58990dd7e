# frozen_string_literal: true

require_relative "../../crash/support/random_kills"
require_relative "shop"

# The same with pushes and rollbacks of the articles, while visitors write notes. Counts the notes that were
# acknowledged and are gone, and mixtures of articles.
class KillsBesideWriters < RandomKills
  include Writers

  attr_reader :acknowledged

  def initialize(...)
    super
    @acknowledged = []
  end

  def run(count)
    serve
    beside_writers(->(writer, number) { note("#{writer}-#{number}") }) do
      round until @kills.values.sum >= count
    end
    quiet_push("after all of it")
    lost = acknowledged - @app.rows("SELECT text FROM notes")
    @broken << "lost notes: #{lost.join(" ")}" if lost.any?
    self
  ensure
    @app&.kill
    FileUtils.rm_rf(@app.root) if @app
  end

  private

  def serve
    @app = Shop.start(workers: @workers)
    # Two, so that a rollback goes to the articles of a push, too.
    @app.push(articles("older"), "--allow-orphans")
    quiet_push("before all of it")
    @folder = listing
  end

  def note(text)
    @acknowledged << text if @app.post("/", sql: "INSERT INTO notes (text) VALUES ('#{text}')", timeout: 20).status == 200
  rescue SystemCallError, IOError, Timeout::Error
    sleep 0.05 # The process that answers was killed.
  end

  def round
    @number += 1
    push = @chance.rand(3).positive?
    before = names
    kind = KINDS.sample(random: @chance)
    result = interrupted(kind, *(push ? ["cp", "--only", "articles", "--allow-orphans", @app.offer(articles("g#{@number}")), Shop::LIVE] : ["rollback"]))
    come_back(kind)
    judge(kind, result, before, push ? "g#{@number}" : nil)
    quiet_push("after #{kind} was killed") unless kind == :everybody
    judge_leftovers(kind)
  rescue PumaServer::Trouble, TooLate => error
    @broken << "round #{@number}, #{kind}: #{error.message}"
    raise "the site does not come back, so nothing else can be tried: #{error.message}"
  end

  def articles(name) = (1..50).to_h { |id| [id, "#{name} #{id}"] }

  def judge(kind, result, before, name)
    found = eventually(30) { names }
    return break_it(kind, "a mix: #{found.join(" ")}") unless found.size == 1

    break_it(kind, "it said OK, and the old ones are there") if result.exit_code == 0 && found == before
    break_it(kind, "others are there: #{found.first}") if name && ![before, [name]].include?(found)
    break_it(kind, "it is damaged: #{TestDatabase.integrity(@app.database_path)}") unless TestDatabase.integrity(@app.database_path) == "ok"
  end

  def quiet_push(whenever)
    result = @app.push(articles("quiet-#{@number}"), "--allow-orphans")
    return if result.success? && names == ["quiet-#{@number}"]

    @broken << "round #{@number}: a push #{whenever} failed with #{result.exit_code}: #{result.stderr}"
  end

  # Of the push that the articles came with.
  def names = @app.titles.map { |title| title[/\A\S+/] }.uniq
end
