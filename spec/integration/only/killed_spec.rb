# frozen_string_literal: true

require_relative "support/shop"
require_relative "../crash/support/system_calls"

# A shop whose system calls for the folder of its database are watched.
class WatchedShop < Shop
  def calls = @calls ||= SystemCalls.new(root.join("storage").to_s, root.to_s)

  def start_hotswap(*arguments, **options) = super(*arguments, env: calls.environment, **options)

  private

  def environment = super.merge(calls.environment)
end

# Whenever the worker dies, the articles are all of one push, the notes are all there, and a rollback brings back the
# articles of the push before, or says that there is nothing to undo.
RSpec.describe "a push of some tables whose worker is killed" do
  include Eventually

  before(:context) { skip "no C compiler here makes the library that stands in between" unless SystemCalls.available? }

  # Articles that no push before has had.
  def offered
    number = (@number = (@number || 0) + 1)
    {1 => ["first", "cheese #{number}"], number + 1 => ["number #{number}", "wine"]}
  end

  def push(articles) = app.push(articles, "--allow-orphans")

  def pushed = offered.tap { |articles| expect(push(articles)).to be_ok }.then { app.titles }

  # Two pushes. Answers the articles that a rollback brings back.
  def prepare
    app.ask("SELECT 1")
    pushed.tap { pushed }
  end

  def settled = eventually { app.process.members == [app.pid] }

  # Of this many calls in a row that do the same with the same file, one stands for all.
  def alike = 20

  # The calls at which the worker is killed.
  def steps(&)
    runs = changes(&).chunk_while { |one, other| [one.call, one.file] == [other.call, other.file] }
    runs.flat_map { |calls| [*calls.each_slice(alike).map(&:first), calls.last].uniq }
  end

  # The calls of the worker that change something.
  def changes(&)
    steps = SystemCalls.steps(app.calls.traced(&)).select { |step| step.program == "worker" }
    steps.select { |step| %w[write rename unlink fsync fdatasync ftruncate link].include?(step.call) && !step.file.end_with?(".log", "-shm", ".hotswap") }
  end

  # Those around the commit: the last write of each file, and what gives the difference its names.
  def some(steps)
    of_database = steps.select { |step| step.file.match?(/\Aapp\.sqlite3(-wal|-journal)?\z/) }
    steps.select { |step| step.call == "rename" } + of_database.group_by { |step| [step.call, step.file] }.values.map(&:last)
  end

  # The note shows that the application can write, and is there after the next command.
  def whole(step, how, *possible)
    app.ask("INSERT INTO notes (text) VALUES ('after #{how} #{step}')")
    @notes = (@notes || app.ask("SELECT count(*) FROM notes").to_i - 1) + 1
    expect(app.ask("SELECT count(*) FROM notes").to_i).to eq @notes
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.ask("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")).to eq ""
    app.titles.tap { |titles| expect(possible).to include(titles), -> { "#{how} #{step}: #{titles}" } }
  end

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(WatchedShop, journal_mode: mode)

      {"at each step" => [:all, {thorough: true, timeout: 3_600}], "at some steps" => [:some, {}]}.each do |share, (which, metadata)|
        it "keeps every write, and articles of one push: #{share}", **metadata do
          before = prepare
          all = steps { before = app.titles.tap { pushed } }
          chosen = (which == :all) ? all : some(all)
          expect(chosen).not_to be_empty
          chosen.product(%i[killed_before killed_after]).each do |step, how|
            old, articles = app.titles, offered
            new = articles.values.map(&:first)
            app.calls.with(step, how) { push(articles).tap { |result| expect(result.exit_code).not_to eq(3), result.stderr } }
            settled
            live = whole(step, how, old, new)

            result = app.hotswap("rollback")
            case [live, result.exit_code]
            in [^new, 0] then expect(app.titles).to eq old
            in [^old, 0] then expect(app.titles).to eq before
            in [^old, 3] then expect(result.stderr).to include "there is nothing to undo"
            end
            expect(app.stray_files).to eq []
            # The other one of the two, except after a difference that was never written.
            before = (result.exit_code == 0) ? live : app.titles.tap { pushed }
          end
        end
      end

      it "in its rollback keeps them as well" do
        before = prepare
        live = app.titles
        some(steps { expect(app.hotswap("rollback")).to be_ok }).product(%i[killed_before killed_after]).each do |step, how|
          app.calls.with(step, how) { app.hotswap("rollback") }
          settled
          found = whole(step, how, before, live)
          expect(app.hotswap("rollback")).to be_ok
          expect(app.titles).to eq(([before, live] - [found]).first)
        end
      end
    end
  end
end
