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

  let(:old) { {1 => %w[first bread], 2 => %w[second butter]} }
  let(:new) { {1 => %w[first cheese], 3 => %w[third wine]} }

  before(:context) { skip "no C compiler here makes the library that stands in between" unless SystemCalls.available? }

  def push(articles) = app.push(articles, "--allow-orphans")

  def prepare
    expect(push(old.merge(4 => %w[fourth salt]))).to be_ok
    expect(push(old)).to be_ok
    app.ask("INSERT INTO notes (text) VALUES ('before')")
    settled
  end

  def settled = eventually { app.process.members == [app.pid] }

  # The calls of the worker that change something.
  def steps(&command)
    steps = SystemCalls.steps(app.calls.traced(&command)).select { |step| step.program == "worker" }
    steps.select { |step| %w[write rename unlink fsync fdatasync ftruncate link].include?(step.call) && !step.file.end_with?(".log", "-shm", ".hotswap") }
  end

  # Those around the commit: the last write of each file, and what gives the difference its names.
  def some(steps)
    of_database = steps.select { |step| step.file.match?(/\Aapp\.sqlite3(-wal|-journal)?\z/) }
    steps.select { |step| step.call == "rename" } + of_database.group_by { |step| [step.call, step.file] }.values.map(&:last)
  end

  def expect_whole(step, how)
    notes = app.ask("SELECT count(*) FROM notes").to_i
    app.ask("INSERT INTO notes (text) VALUES ('after #{how} #{step}')")
    titles = app.titles
    expect([%w[first second], %w[first third]]).to include(titles), -> { "#{how} #{step}: #{titles}" }
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"

    result = app.hotswap("rollback")
    case [titles.last, result.exit_code]
    # The push before added the fourth article.
    in ["second", 0] then expect(app.titles).to eq %w[first second fourth]
    in ["third", 0] then expect(app.titles).to eq %w[first second]
    in ["second", 3] then expect(result.stderr).to include "there is nothing to undo"
    end
    expect(app.ask("SELECT count(*) FROM notes").to_i).to eq(notes + 1)
    expect(app.ask("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")).to eq ""
    expect(app.stray_files).to eq []
  end

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(WatchedShop, journal_mode: mode)

      {"at each step": [:all, {thorough: true, timeout: 3_600}], "at some steps": [:some, {}]}.each do |share, (which, metadata)|
        it "keeps every write, and articles of one push: #{share}", **metadata do
          app.ask("SELECT 1")
          prepare
          all = steps { expect(push(new)).to be_ok }
          chosen = (which == :all) ? all : some(all)
          expect(chosen).not_to be_empty
          chosen.product(%i[killed_before killed_after]).each do |step, how|
            prepare
            app.calls.with(step, how) { push(new).tap { |result| expect(result.exit_code).not_to eq(3), result.stderr } }
            settled
            expect_whole(step, how)
          end
        end
      end

      it "in its rollback keeps them as well" do
        app.ask("SELECT 1")
        prepare
        expect(push(new)).to be_ok
        some(steps { expect(app.hotswap("rollback")).to be_ok }).product(%i[killed_before killed_after]).each do |step, how|
          prepare
          expect(push(new)).to be_ok
          settled
          app.calls.with(step, how) { app.hotswap("rollback") }
          settled
          titles = app.titles
          expect([%w[first second], %w[first third]]).to include(titles), -> { "#{how} #{step}: #{titles}" }
          expect(app.hotswap("rollback")).to be_ok
          expect(app.titles).to eq((titles.last == "third") ? %w[first second] : %w[first third])
          expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        end
      end
    end
  end
end
