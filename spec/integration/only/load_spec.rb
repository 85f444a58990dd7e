# frozen_string_literal: true

require_relative "support/shop"

# Visitors write notes, and each note that was acknowledged is there at the end. Every answer has the articles of one push.
RSpec.describe "pushes and rollbacks of some tables under load" do
  include Writers

  {"in one process" => 0, "in a cluster" => 2}.each do |named, workers|
    describe named do
      running_app(Shop, workers: workers, settings: "config.max_pause = 2")

      it "lose no write to another table, and show no mixture of articles" do
        app.ask("SELECT 1")
        acknowledged, mixed = [], []
        loaded(acknowledged, mixed) do
          6.times do |round|
            articles = (1..200).to_h { |id| [id, "#{round}-#{id}"] }
            # A rollback after every other push.
            result = (round % 3 == 2) ? app.hotswap("rollback") : app.push(articles, "--allow-orphans")
            expect(result).to be_ok
          end
        end

        expect(acknowledged.size).to be > 50
        notes = app.rows("SELECT text FROM notes")
        expect(acknowledged - notes).to eq []
        expect(mixed.first(3)).to eq []
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        expect(app.ask("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")).to eq ""
        expect(app.stray_files).to eq []
      end
    end
  end

  def loaded(acknowledged, mixed, &block)
    write = lambda do |writer, number|
      text = "#{writer}-#{number}"
      answer = app.post("/", sql: "INSERT INTO notes (text) VALUES ('#{text}')", timeout: 20)
      (answer.status == 200) ? acknowledged << text : mixed << "#{answer.status}: #{answer.body[0, 80]}"
      rounds = app.titles.map { |title| title[/\A\d+(?=-)/] }.uniq
      mixed << rounds if rounds.size > 1
    end
    beside_writers(write, &block)
  end
end
