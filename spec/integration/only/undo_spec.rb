# frozen_string_literal: true

require_relative "support/shop"

RSpec.describe "the rollback of a push of some tables" do
  include Untouched

  {"wal" => "in WAL mode", "delete" => "with a rollback journal"}.each do |mode, named|
    describe named do
      running_app(Shop, journal_mode: mode)

      before do
        app.ask("SELECT 1")
        expect(app.push({1 => %w[first bread], 2 => %w[second butter]}, "--allow-orphans")).to be_ok
        expect(app.push({1 => %w[first cheese], 3 => %w[third wine]}, "--allow-orphans")).to be_ok
      end

      it "puts their rows back and keeps all others, and a second one undoes it" do
        app.ask("INSERT INTO notes (text) VALUES ('since the push')")

        result = app.hotswap("rollback")
        expect(result).to be_ok
        size = TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA page_count") * db.get_first_value("PRAGMA page_size") }
        expect(result.stderr).to include(" #{size} bytes, written in place", "articles 1 added, 1 changed, 1 removed")
        expect(app.hotswap("status").stdout).to match(/^  previous: \S+\.previous, \S+ \w+ of rows, last changed/)
        expect(app.titles).to eq %w[first second]
        expect(app.ask("SELECT rowid FROM search WHERE search MATCH 'bread OR butter' ORDER BY rowid").split).to eq %w[1 2]
        expect(app.ask("SELECT count(*) FROM search WHERE search MATCH 'wine'")).to eq "0"
        app.ask("INSERT INTO notes (text) VALUES ('since the rollback')")
        expect(app.rows("SELECT text FROM notes ORDER BY id DESC LIMIT 2")).to eq ["since the rollback", "since the push"]

        expect(app.hotswap("rollback")).to be_ok
        expect(app.titles).to eq %w[first third]
        expect(app.rows("SELECT text FROM notes ORDER BY id DESC LIMIT 2")).to eq ["since the rollback", "since the push"]
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        expect(app.stray_files).to eq []
      end

      it "warns if rows point to nothing then" do
        app.ask("INSERT INTO comments (article_id, text) VALUES (3, 'about wine')")
        result = app.hotswap("rollback")
        expect(result).to be_ok
        expect(result.stderr).to include "WARNING: rows point to nothing now: comments (article_id) → articles: 1 row"
      end

      it "is refused if those rows were changed since" do
        app.ask("UPDATE articles SET body = 'by hand' WHERE id = 3")
        refused = untouched(app) { app.hotswap("rollback") }
        expect(refused.exit_code).to eq 3
        expect(refused.stderr).to include "changed rows that the last push wrote: articles (1)"
        expect(app.titles).to eq %w[first third]
      end

      it "is refused if the version is damaged" do
        File.write(app.version, "x" * 3000, 4096)
        refused = untouched(app) { app.hotswap("rollback") }
        expect(refused.exit_code).to eq 3
        expect(refused.stderr).to include "cannot roll back"
        expect(app.titles).to eq %w[first third]
      end
    end
  end

  describe "whose version" do
    running_app(Shop)

    before do
      app.ask("SELECT 1")
      expect(app.push({1 => "first"}, "--allow-orphans")).to be_ok
      expect(app.push({1 => "first", 5 => "fifth"}, "--allow-orphans")).to be_ok
    end

    it "is not a whole database, so a pull refuses it" do
      target = app.root.join("files/pulled.sqlite3").to_s
      refused = untouched(app) { app.hotswap("cp", "previous:#{Shop::LIVE}", target) }
      expect(refused.exit_code).to eq 3
      expect(refused.stderr).to include "is not a whole database"
      expect(File.exist?(target)).to be false
    end

    # Fails without `tables::is_difference` in rollback.rs: then every table would be gone.
    it "is never taken for a whole database, not even if its application_id was changed" do
      SQLite3::Database.new(app.version) { |db| db.execute("PRAGMA application_id = 0") }
      refused = untouched(app) { app.hotswap("rollback") }
      expect(refused).to have_attributes(exit_code: 3, stderr: /cannot read the replaced rows in .*\.previous\. Nothing was changed/)
      expect(app.titles).to eq %w[first fifth]
    end

    it "belongs to the owner of the database" do
      expect(File.stat(app.version)).to have_attributes(mode: File.stat(app.database_path).mode, uid: File.stat(app.database_path).uid)
    end

    # Fails without `Difference::other_schema` before the statements are prepared: SQLite's words name a column.
    it "is for a table that has other columns now names the table" do
      app.ask("INSERT OR IGNORE INTO tags VALUES (1, 'food')")
      expect(app.push({1 => "first", 5 => "fifth"}, only: "tags")).to be_ok
      app.ask("ALTER TABLE tags RENAME COLUMN tag TO label")
      refused = untouched(app) { app.hotswap("rollback") }
      expect(refused).to have_attributes(exit_code: 3, stderr: /tags/)
      expect(refused.stderr).not_to include "no such column"
    ensure
      app.ask("ALTER TABLE tags RENAME COLUMN label TO tag")
    end

    it "is not used with --in-place=never" do
      refused = untouched(app) { app.hotswap("rollback", "--in-place=never") }
      expect(refused).to have_attributes(exit_code: 3, stderr: /leave out --in-place=never/i)
    end

    it "is replaced by the next push of the whole database, whose rollback brings everything back" do
      app.ask("INSERT INTO notes (text) VALUES ('kept')")
      path = app.offer({8 => "eighth"})
      expect(app.hotswap("cp", path, Shop::LIVE)).to be_ok
      expect(app.titles).to eq %w[eighth]
      expect(app.hotswap("rollback")).to be_ok
      expect(app.titles).to eq %w[first fifth]
      expect(app.rows("SELECT text FROM notes ORDER BY id DESC LIMIT 1")).to eq %w[kept]
    end
  end
end
