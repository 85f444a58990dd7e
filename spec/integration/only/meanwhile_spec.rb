# frozen_string_literal: true

require_relative "support/shop"

# Between the comparison and the moment in which the worker has the write lock, the application goes on.
RSpec.describe "a push of some tables, while the application writes" do
  include Eventually

  let(:new) { {1 => %w[first cheese], 4 => %w[fourth wine]} }

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(Shop, journal_mode: mode)

      before do
        FileUtils.rm_f(app.root.join("go-on"))
        app.ask("SELECT 1")
        expect(app.push({1 => "first", 2 => "second"}, "--allow-orphans")).to be_ok
        @stranger = Stranger.ruby(app.database_path)
        @log = app.log.length
      end

      def comparisons = app.log[@log..].scan("writing in place, because").size

      # The worker has compared, and waits for a request.
      def push_meanwhile
        waiting = Thread.new { app.get("/wait") }
        eventually { File.exist?(app.root.join("waits")) }
        push = app.start_hotswap("cp", "--only", "articles", "--allow-orphans", app.offer(new), Shop::LIVE)
        eventually { comparisons == 1 || !push.running? }
        yield
        FileUtils.touch(app.root.join("go-on"))
        push.wait.tap { waiting.join }
      ensure
        FileUtils.rm_f(app.root.join("waits"))
      end

      it "keeps every row of the other tables" do
        result = push_meanwhile do
          @stranger.ask("INSERT INTO notes (text) SELECT 'note ' || title FROM articles")
          @stranger.ask("INSERT INTO comments (article_id, text) VALUES (1, 'meanwhile')")
        end

        expect(result).to be_ok
        expect(app.titles).to eq %w[first fourth]
        expect(app.rows("SELECT text FROM notes")).to eq ["note first", "note second"]
        expect(app.rows("SELECT text FROM comments ORDER BY id DESC LIMIT 1")).to eq %w[meanwhile]
        # A rollback journal does not tell which table was written.
        expect(comparisons).to eq((mode == "wal") ? 1 : 2)
        app.ask("DELETE FROM notes")
      end

      # Fails without `Watch::is_outdated`: the row would stay beside those of the file.
      it "compares again if one of the tables was written" do
        result = push_meanwhile { @stranger.ask("INSERT INTO articles VALUES (9, 'not in the file', '')") }

        expect(result).to be_ok
        expect(app.titles).to eq %w[first fourth]
        expect(comparisons).to eq 2
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      end

      it "finds rows that came meanwhile and would point to nothing" do
        result = app.start_hotswap("cp", "--only", "articles,tags", app.offer(new), Shop::LIVE).wait
        expect(result).to be_ok
        expect(app.push({1 => "first", 2 => "second", 3 => "third"})).to be_ok
        @log = app.log.length
        waiting = Thread.new { app.get("/wait") }
        eventually { File.exist?(app.root.join("waits")) }
        push = app.start_hotswap("cp", "--only", "articles", app.offer({1 => "first", 2 => "second"}), Shop::LIVE)
        eventually { comparisons == 1 || !push.running? }
        @stranger.ask("INSERT INTO comments (article_id, text) VALUES (3, 'late')")
        FileUtils.touch(app.root.join("go-on"))
        refused = push.wait
        waiting.join

        expect(refused.exit_code).to eq 3
        expect(refused.stderr).to include "comments (article_id) → articles: 1 row"
        expect(app.titles).to eq %w[first second third]
        expect(app.rows("SELECT text FROM comments ORDER BY id DESC LIMIT 1")).to eq %w[late]
        app.ask("DELETE FROM comments WHERE article_id = 3")
      ensure
        FileUtils.rm_f(app.root.join("waits"))
      end

      it "compares while requests wait if the tables are written all the time" do
        over = false
        writer = Thread.new do
          number = 0
          @stranger.ask("UPDATE articles SET body = 'version #{number += 1}' WHERE id = 1") && sleep(0.002) until over
        end
        sleep 0.05
        result = app.push(new, "--allow-orphans")
        over = true
        writer.join

        expect(result).to be_ok
        expect(app.titles).to eq %w[first fourth]
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      end
    end
  end
end
