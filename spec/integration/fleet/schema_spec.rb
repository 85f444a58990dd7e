# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "a new schema", :fleet do
  let(:app) do
    boot_app(workers: 2) do |server|
      server.write("config/initializers/records.rb", <<~RUBY)
        class RecordsController < ActionController::Base
          skip_forgery_protection
          # Found by key, so that it is a prepared statement that finds it.
          def show = render(json: {pid: Process.pid, columns: Item.column_names, item: Item.find(params[:id]).attributes})
          def create = render(json: {pid: Process.pid, item: Item.create!(params.permit!.to_h.slice(*Item.column_names)).attributes})
          def named = render(json: {pid: Process.pid, names: Item.where(price: 5).order(:id).pluck(:name)})
        end
        Rails.application.config.after_initialize do
          Rails.application.routes.append do
            get "records/:id", to: "records#show"
            post "records", to: "records#create"
            get "priced", to: "records#named"
          end
        end
      RUBY
      # This model is loaded last, and is the first to forget its columns.
      server.write("app/models/z_fragile_record.rb", <<~RUBY)
        class ZFragileRecord < ApplicationRecord
          self.table_name = "items"
          def self.undefine_attribute_methods = Rails.root.join("tmp/fragile").exist? ? raise("it broke") : super
        end
      RUBY
    end
  end
  let(:generations) { Generations.new(app) }

  # The answer of every worker.
  def from_each_worker(count = 2)
    answers = {}
    eventually(20) do
      answer = yield
      expect(answer.status).to eq(200), "#{answer.status}: #{app.log_tail(20)}"
      answers[answer.json.fetch("pid")] = answer.json
      answers.size == count
    end
    answers.values
  end

  def push_changed(version, &block)
    file = generations_files.changed("#{version}.sqlite3", version: version, &block)
    push = generations.push("--skip-schema-check", file: file, version: version)
    expect(push.result).to have_attributes(exit_code: 0), push.result.stderr
  end

  def generations_files = app.databases

  before do
    expect_all_on(app, "v1", processes: 2)
    20.times { from_each_worker { app.get("/records/1") } }
  end

  it "with a new column is usable at once in every worker" do
    push_changed("priced") do |db|
      db.execute("ALTER TABLE items ADD COLUMN price INTEGER DEFAULT 5")
      db.execute("UPDATE items SET price = 7 WHERE id > 3")
    end

    expect(from_each_worker { app.get("/records/1") }.map { |answer| answer["item"]["price"] }).to eq [5, 5]
    expect(from_each_worker { app.get("/priced") }.map { |answer| answer["names"] }).to all(eq %w[item-1 item-2 item-3])
    expect(from_each_worker { app.post("/records", name: "new", price: "12") }.map { |answer| answer["item"]["price"] }).to eq [12, 12]
  end

  it "with moved and removed columns is read correctly" do
    push_changed("moved") do |db|
      db.execute_batch(<<~SQL)
        CREATE TABLE moved (note_of_old TEXT, token VARCHAR, id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name VARCHAR NOT NULL);
        INSERT INTO moved (id, name, token, note_of_old) SELECT id, 'moved ' || name, token, note FROM items;
        DROP TABLE items;
        ALTER TABLE moved RENAME TO items;
      SQL
    end

    from_each_worker { app.get("/records/2") }.each do |answer|
      expect(answer["item"]).to include("id" => 2, "name" => "moved item-2", "note_of_old" => "as in v1")
      expect(answer["columns"]).to eq %w[note_of_old token id name]
    end
    from_each_worker { app.post("/records", name: "written", note: "gone") }.each do |answer|
      expect(answer["item"]).to include("name" => "written")
    end
  end

  it "is used by all other models if one model cannot forget the old schema, and each process logs that once" do
    app.write("tmp/fragile", "")
    push_changed("priced") { |db| db.execute("ALTER TABLE items ADD COLUMN price INTEGER DEFAULT 5") }

    expect(from_each_worker { app.get("/records/1") }.map { |answer| answer["columns"] }).to all include "price"
    logged = eventually { app.log.lines(chomp: true).grep(/clearing the cached schema/).tap { |lines| expect(lines.size).to eq 2 } }
    pids = worker_pids(app).join("|")
    expect(logged).to all match(/\A\[hotswap\] clearing the cached schema of storage\/production\.sqlite3 failed: it broke \(RuntimeError\) at \S+z_fragile_record\.rb:\d+.*\. Until it restarts, process (#{pids}) may use old columns$/)
  end

  it "can alternate with the old one under load, and every answer matches its database" do
    verdict = visited(app, generations) do
      4.times do |n|
        if n.even?
          push_changed("with-#{n}") { |db| db.execute("ALTER TABLE items ADD COLUMN price INTEGER DEFAULT #{n}") }
          expect(from_each_worker { app.get("/records/1") }.map { |answer| answer["item"]["price"] }).to eq [n, n]
        else
          push_changed("without-#{n}") { |db| db.execute("UPDATE items SET note = 'n#{n}'") }
          expect(from_each_worker { app.get("/records/1") }.map { |answer| answer["item"].values_at("price", "note") }).to eq [[nil, "n#{n}"]] * 2
        end
      end
    end

    expect(verdict.broken).to eq []
  end

  it "does not affect the connections of other databases" do
    inodes = -> { worker_pids(app).to_h { |pid| [pid, open_files(pid).grep(/production-(queue|cache|errors)\.sqlite3$/).sort] } }
    30.times { app.get("/") }
    before = inodes.call
    expect(before.values).to all(be_any)

    swap(generations, 2)

    expect(inodes.call).to eq before
  end

  # Descriptor and file, so that one that was closed and opened again shows unless it got the same number.
  def open_files(pid)
    Dir.glob("/proc/#{pid}/fd/*").filter_map do |link|
      "#{File.basename(link)} #{File.readlink(link)}"
    rescue Errno::ENOENT
      nil
    end
  end
end
