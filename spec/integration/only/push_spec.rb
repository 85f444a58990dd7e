# frozen_string_literal: true

require_relative "support/shop"

RSpec.describe "a push of some tables" do
  include Untouched

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(Shop, journal_mode: mode)

      before do
        app.ask("SELECT 1")
        expect(app.push({1 => %w[first bread], 2 => %w[second butter], 3 => %w[third salt]}, "--allow-orphans")).to be_ok
      end

      it "gives them the rows of the file, and leaves all others as they are" do
        app.ask("INSERT INTO notes (text) VALUES ('before')")
        inode = File.stat(app.database_path).ino
        seen = app.rows("SELECT count(*) FROM seen")

        result = app.push({1 => "first", 3 => "trois", 4 => "fourth"}, "--allow-orphans")

        expect(result).to be_ok
        expect(result.stdout).to eq "OK\n"
        expect(result.stderr).to include("In place, because the database keeps its other tables", "articles 1 added, 2 changed, 1 removed")
        app.ask("INSERT INTO notes (text) VALUES ('after')")
        expect(app.titles).to eq %w[first trois fourth]
        expect(app.rows("SELECT text FROM notes ORDER BY id").last(2)).to eq %w[before after]
        expect(app.rows("SELECT article_id FROM comments")).to eq [1]
        expect(app.rows("SELECT article_id FROM tags")).to eq [1, 2]
        expect(app.rows("SELECT count(*) FROM seen")).to eq seen
        expect(File.stat(app.database_path).ino).to eq inode
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        expect(app.stray_files).to eq []
      end

      it "keeps the full-text index right" do
        expect(app.push({1 => %w[first cheese], 7 => %w[seventh wine]}, "--allow-orphans")).to be_ok

        expect(app.ask("SELECT rowid FROM search WHERE search MATCH 'cheese OR wine' ORDER BY rowid").split).to eq %w[1 7]
        expect(app.ask("SELECT rowid FROM search WHERE search MATCH 'bread OR butter'")).to eq ""
        expect(app.ask("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")).to eq ""
      end

      it "swaps nothing if they have the rows already" do
        result = app.push({1 => %w[first bread], 2 => %w[second butter], 3 => %w[third salt]}, "--json")

        expect(result).to be_ok
        expect(JSON.parse(result.stdout)).to include("changed" => false, "exit_status" => 0)
        expect(JSON.parse(result.stdout)).not_to include("way")
        expect(result.stderr).to include "already has these rows in articles. Nothing was swapped"
        # The lines of the push before may come late.
        expect(app.log.split("command: cp").last).not_to include "requests are queued"
      end
    end
  end

  describe "that is refused" do
    running_app(Shop, settings: "config.tables = {content: %w[articles tags]}")

    before do
      app.ask("DELETE FROM comments")
      app.ask("DELETE FROM tags")
      expect(app.push({1 => "first", 2 => "second", 3 => "third"})).to be_ok
    end

    # The application would serve a comment on an article that is not there.
    it "because rows would point to nothing names them, and --allow-orphans lets them" do
      app.ask("INSERT INTO comments (article_id, text) SELECT 2, 'number ' || id FROM articles")
      app.ask("INSERT INTO tags VALUES (2, 'food')")
      refused = untouched(app) { app.push({1 => "first", 3 => "third"}) }

      expect(refused).to have_attributes(exit_code: 3, stdout: "")
      expect(refused.stderr).to match(/rows would point to nothing.*comments \(article_id\) → articles: 3 rows/m)
      expect(refused.stderr).to include("tags (article_id) → articles: 1 row", "--allow-orphans")

      expect(app.push({1 => "first", 3 => "third"}, "--allow-orphans")).to be_ok
      expect(app.titles).to eq %w[first third]
    end

    it "because a listed table differs shows how, and other tables may differ" do
      other = Shop::SCHEMA.sub("notes (id", "notes (number REAL, id")
      expect(app.push({1 => "first", 2 => "second", 3 => "third", 4 => "four"}, schema: other)).to be_ok

      wider = Shop::SCHEMA.sub("title TEXT UNIQUE", "title TEXT UNIQUE, price REAL").gsub(/^CREATE (TRIGGER|VIRTUAL).*?^(?=CREATE|\z)/m, "")
      path = app.make("files/wider.sqlite3", schema: wider)
      refused = untouched(app) { app.hotswap("cp", "--only", "articles", path, Shop::LIVE) }
      expect(refused.exit_code).to eq 3
      expect(refused.stderr).to include "price"
    end

    it "because there is no such table names those that there are" do
      refused = untouched(app) { app.push({1 => "first"}, only: "article") }
      expect(refused).to have_attributes(exit_code: 2, stderr: /--only names article, but.*articles/)
    end

    it "because a table would lose too many rows says so" do
      expect(app.push((1..10).to_h { |id| [id, "title #{id}"] })).to be_ok
      refused = untouched(app) { app.push({1 => "title 1", 2 => "title 2"}, "--max-shrink", "50%") }
      expect(refused.exit_code).to eq 3
      expect(refused.stderr).to include "articles 10 → 2 (-80%)"
    end

    it "because the file is damaged is no different from another push" do
      path = app.offer({1 => "first"})
      File.write(path, "x" * 5000, 4096)
      refused = untouched(app) { app.hotswap("cp", "--only", "articles", path, Shop::LIVE) }
      expect(refused.exit_code).to eq 3
    end

    it "because there is no database yet says what to do" do
      live = app.database_path
      File.rename(live, "#{live}.aside")
      refused = app.push({1 => "first"})
      expect(refused.exit_code).to eq 3
      expect(refused.stderr).to include "does not exist, so it has no tables to keep"
      expect(File.exist?(live)).to be false
    ensure
      File.rename("#{live}.aside", live)
    end

    it "names groups of tables, and --except the others" do
      app.ask("INSERT INTO comments (article_id, text) VALUES (1, 'good')")
      path = app.make("files/group.sqlite3") do |db|
        db.execute("INSERT INTO articles VALUES (1, 'first', ''), (2, 'second', '')")
        db.execute("INSERT INTO tags VALUES (1, 'new')")
      end
      expect(app.hotswap("cp", "--only", "@content", "--allow-orphans", path, Shop::LIVE)).to be_ok
      expect(app.rows("SELECT tag FROM tags")).to eq %w[new]
      expect(app.titles).to eq %w[first second]

      result = app.hotswap("cp", "--except", "@content,comments,seen", path, Shop::LIVE)
      expect(result).to be_ok
      expect(app.rows("SELECT count(*) FROM notes")).to eq [0]
      expect(app.rows("SELECT count(*) FROM comments")).not_to eq [0]
    end

    it "with --dry-run shows what would happen to each table" do
      expect(app.push({1 => "one", 2 => "two", 3 => "three"}, "--allow-orphans")).to be_ok
      result = untouched(app) { app.push({1 => "one", 2 => "deux", 4 => "four", 5 => "five"}, "--dry-run", "--allow-orphans") }
      expect(result).to be_ok
      expect(result.stdout).to match(/added +changed +removed +kept\n +articles +2 +1 +1 +1\n/)
      json = untouched(app) { app.push({1 => "one", 2 => "deux", 4 => "four", 5 => "five"}, "--dry-run", "--json", "--allow-orphans") }
      expect(JSON.parse(json.stdout).dig("dry_run", "tables")).to eq("articles" => {"added" => 2, "changed" => 1, "removed" => 1, "kept" => 1})
    end

    it "with --dry-run says that a push would be refused" do
      expect(app.push({1 => "one", 2 => "two"}, "--allow-orphans")).to be_ok
      app.ask("INSERT INTO comments (article_id, text) VALUES (2, 'good')")
      refused = untouched(app) { app.push({1 => "one"}, "--dry-run") }
      expect(refused).to have_attributes(exit_code: 3, stdout: start_with("Nothing was swapped. A push would be refused."), stderr: /rows would point to nothing/)
    ensure
      app.ask("DELETE FROM comments")
    end

    it "is in the record with the rows of each table" do
      result = app.push({1 => "one", 9 => "nine"}, "--json", "--allow-orphans")
      expect(result).to be_ok
      counts = JSON.parse(result.stdout).fetch("tables")
      expect(counts.fetch("articles")).to include("added" => 1)
      entry = JSON.parse(app.hotswap("log", "--json", "-n", "1").stdout)
      expect(entry).to include("event" => "push", "tables" => counts, "way" => "in_place")
    end
  end
end
