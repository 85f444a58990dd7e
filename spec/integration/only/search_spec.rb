# frozen_string_literal: true

require_relative "support/shop"

# Each index follows the articles in its own way: a full-text index of their text, one with content of its own that
# triggers write, and an R-tree that triggers write.
RSpec.describe "a push of some tables that virtual tables follow" do
  tree = Secrets::MODULES.include?("rtree")
  follow = lambda do |virtual, columns, values|
    old = values.gsub("new.", "old.")
    <<~SQL
      CREATE TRIGGER #{virtual}_insert AFTER INSERT ON articles BEGIN INSERT INTO #{virtual} (#{columns}) VALUES (#{values}); END;
      CREATE TRIGGER #{virtual}_delete AFTER DELETE ON articles BEGIN DELETE FROM #{virtual} WHERE #{columns[/\w+/]} = #{old[/[\w.]+/]}; END;
    SQL
  end
  schema = "#{Shop::SCHEMA}; CREATE VIRTUAL TABLE titles USING fts5(title); #{follow.call("titles", "rowid, title", "new.id, new.title")}"
  schema += "CREATE VIRTUAL TABLE places USING rtree(id, low, high); #{follow.call("places", "id, low, high", "new.id, new.id * 10, new.id * 10 + 5")}" if tree

  running_app(Shop, schema: schema)

  define_method(:push) { |articles| app.push(articles, "--allow-orphans", schema: schema) }

  def found(sql) = app.ask(sql).split("\n").map(&:to_i)

  define_method(:expect_answers) do |title, *ids|
    expect(found("SELECT rowid FROM search WHERE search MATCH '#{title}' ORDER BY rowid")).to eq ids
    expect(found("SELECT rowid FROM titles WHERE titles MATCH '#{title}' ORDER BY rowid")).to eq ids
    %w[search titles].each { |table| expect(app.ask("INSERT INTO #{table} (#{table}, rank) VALUES ('integrity-check', 1)")).to eq "" }
    next unless tree

    expect(found("SELECT id FROM places WHERE low < 1000 ORDER BY id")).to eq found("SELECT id FROM articles ORDER BY id")
    expect(app.ask("SELECT rtreecheck('places')")).to eq "ok"
  end

  it "answers queries with the new rows, then with the old ones, through the same connections" do
    expect(push({1 => "red one", 2 => "red two", 3 => "blue three"})).to be_ok
    expect_answers "red", 1, 2

    expect(push({1 => "red one", 3 => "red three", 4 => "red four", 5 => "blue five"})).to be_ok
    expect_answers "red", 1, 3, 4
    expect_answers "two"
    app.ask("INSERT INTO articles VALUES (6, 'red six', '')")
    expect_answers "red", 1, 3, 4, 6
    app.ask("DELETE FROM articles WHERE id = 6")

    expect(app.hotswap("rollback")).to be_ok
    expect_answers "red", 1, 2
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
  end
end
