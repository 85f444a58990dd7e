# frozen_string_literal: true

# The check maps the pushed file. SQLite reads up to eight bytes past an integer at the end of an index page, and here
# that is the end of the file.
RSpec.describe "a push of a file with any valid header", :slow do
  before(:context) do
    @app = ItemsServer.start(schema: <<~SQL)
      CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, place INTEGER);
      CREATE INDEX items_by_place ON items (place);
    SQL
  end
  after(:context) { @app&.tear_down }

  attr_reader :app

  def create(shape)
    schema = TestDatabase.read(app.database_path) { |db| db.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'") }
    shape.create(app.root.join("shaped.sqlite3").to_s) do |db|
      schema.each { |(sql)| db.execute(sql) }
      db.execute(<<~SQL, [shape.to_s])
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO items (name, place) SELECT ? || hex(randomblob(400)), abs(random() % 100) FROM n
      SQL
    end
  end

  HeaderShape.all.group_by(&:page_size).each do |page_size, shapes|
    it "succeeds with pages of #{page_size} bytes" do
      outcomes = shapes.to_h do |shape|
        file = create(shape)
        expect(HeaderShape.of(file)).to eq shape
        outcome = app.hotswap("cp", file, "database")
        [shape.to_s, [outcome.exit_code, outcome.stderr]]
      end

      expect(outcomes.reject { |_, outcome| outcome.first == 0 && outcome.last.match?(HotswapCommand::SWAPPED) }).to eq({})
      expect(app.version).to include shapes.last.to_s
    end
  end
end
