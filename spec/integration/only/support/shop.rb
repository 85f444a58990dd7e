# frozen_string_literal: true

# An application whose articles come from outside, and whose visitors write comments and notes.
class Shop < ItemsServer
  SCHEMA = <<~SQL
    CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT UNIQUE, body TEXT);
    CREATE TABLE tags (article_id INTEGER REFERENCES articles, tag TEXT, PRIMARY KEY (article_id, tag)) WITHOUT ROWID;
    CREATE TABLE comments (id INTEGER PRIMARY KEY, article_id INTEGER REFERENCES articles, text TEXT);
    CREATE INDEX comments_by_article ON comments (article_id);
    CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
    CREATE TABLE seen (title TEXT);
    CREATE TRIGGER articles_seen AFTER INSERT ON articles BEGIN INSERT INTO seen VALUES (new.title); END;
    CREATE VIRTUAL TABLE search USING fts5(title, body, content = 'articles', content_rowid = 'id');
    CREATE TRIGGER search_insert AFTER INSERT ON articles BEGIN
      INSERT INTO search (rowid, title, body) VALUES (new.id, new.title, new.body);
    END;
    CREATE TRIGGER search_delete AFTER DELETE ON articles BEGIN
      INSERT INTO search (search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
    END;
    CREATE TRIGGER search_update AFTER UPDATE ON articles BEGIN
      INSERT INTO search (search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
      INSERT INTO search (rowid, title, body) VALUES (new.id, new.title, new.body);
    END;
  SQL

  # Answers SQL. Waits for the file "go-on" where it is asked to.
  APPLICATION = CONNECTION + <<~'RUBY'
    run lambda { |env|
      File.write("waits", "") if env["PATH_INFO"] == "/wait"
      sleep 0.01 until env["PATH_INFO"] != "/wait" || File.exist?("go-on")
      sql = Rack::Request.new(env).POST["sql"] || "SELECT title FROM articles ORDER BY id"
      [200, {"content-type" => "text/plain"}, [DATABASE.execute(sql).map { |row| row.join("|") }.join("\n")]]
    }
  RUBY

  def fill(schema, journal_mode)
    make(LIVE, schema: schema, journal_mode: journal_mode) do |db|
      db.execute("INSERT INTO articles VALUES (1, 'first', 'about bread'), (2, 'second', 'about butter'), (3, 'third', 'about salt')")
      db.execute("INSERT INTO comments (article_id, text) VALUES (1, 'good')")
      db.execute("INSERT INTO tags VALUES (1, 'food'), (2, 'food')")
    end
  end

  # A file with these articles and nothing else, by number: {1 => "title"} or {1 => ["title", "body"]}.
  def offer(articles, name: "files/new.sqlite3", **options)
    make(name, **options) do |db|
      articles.each { |id, (title, body)| db.execute("INSERT INTO articles VALUES (?, ?, ?)", [id, title, body || "about #{title}"]) }
    end
  end

  def push(articles, *options, only: "articles", **kinds) = hotswap("cp", "--only", only, *options, offer(articles, **kinds), LIVE)

  def ask(sql) = post("/", sql: sql, timeout: 20).body

  def titles = get("/").body.split("\n")

  # What the database has, past the application.
  def rows(sql) = TestDatabase.read(database_path) { |db| db.execute(sql).flatten }

  def version = "#{database_path}.previous"
end

RSpec::Matchers.define :be_ok do
  match { |result| result.exit_code == 0 }
  failure_message { |result| "it ended with #{result.exit_code}: #{result.stderr}" }
end
