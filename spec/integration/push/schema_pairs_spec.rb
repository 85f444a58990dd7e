# frozen_string_literal: true

# The workflow of docs/content-database.md: production was migrated over the years, CI loads schema.rb. definition.rs.
RSpec.describe "a push of a database that Rails created in another way" do
  before(:context) do
    @schemas = RailsSchemas.new
    @app = ItemsServer.start { |server| FileUtils.cp(@schemas.file("migrated"), server.database_path) }
  end
  after(:context) do
    @app&.tear_down
    @schemas&.remove
  end

  attr_reader :app, :schemas

  def push(file, *flags) = app.hotswap("cp", file, "database", *flags)

  def expect_equal(live, incoming)
    expect(push(schemas.file(live), "--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(push(schemas.file(incoming))).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq incoming
  end

  it "succeeds between schema.rb and migrations, in both directions" do
    expect_equal("migrated", "loaded")
    expect_equal("loaded", "migrated")
  end

  # The first releases of Rails 8.1 write it that way.
  it "succeeds if schema.rb has the columns in another order" do
    expect_equal("migrated", "sorted")
    expect_equal("sorted", "loaded")
  end

  RailsSchemas.recorded.map { |file| file.basename(".sql").to_s }.each do |record|
    it "succeeds if the live database was created by #{record.tr("_", " ").capitalize}" do
      expect_equal(record, "#{record}-loaded")
      expect_equal("#{record}-loaded", record)
    end
  end

  it "uses recorded schemas that match what Rails creates" do
    recorded = RailsSchemas.record.read
    made = schemas.statements("migrated").map { |statement| "#{statement};\n" }.join

    expect(made).to eq(recorded), "spec/fixtures/schemas: Rails #{RailsSchemas.rails} makes this now:\n#{made}"
  end

  context "with one change" do
    before(:context) { push(schemas.file("loaded"), "--skip-schema-check") }

    # What, from, to, what is named.
    [
      ["a column less", / "score" float DEFAULT 1.0,/, "", "only live: posts.score"],
      ["a column more", /"score" float/, %("more" integer, "score" float), "only in the file: posts.more"],
      ["a column of another name", /"score" float/, %("scores" float), "only live: posts.score; only in the file: posts.scores"],
      ["a column of the same name in another case", /"score" float/, %("Score" float), "only live: posts.score; only in the file: posts.Score"],
      ["another type", /"score" float/, %("score" decimal), "changed: posts.score"],
      ["another length", /varchar\(100\)/, "varchar(99)", "changed: users.email"],
      ["another default", /"score" float DEFAULT 1.0/, %("score" float DEFAULT 1.5), "changed: posts.score"],
      ["another boolean default", /"admin" boolean DEFAULT (FALSE|0)/, %("admin" boolean DEFAULT TRUE), "changed: users.admin"],
      ["a default in quotes", /"rank" integer DEFAULT 3/, %("rank" integer DEFAULT '3'), "changed: posts.rank"],
      ["a default less", /"body" text DEFAULT ''/, %("body" text), "changed: posts.body"],
      ["NULL allowed", /"body" text NOT NULL/, %("body" text), "changed: comments.body"],
      ["NULL not allowed", /"title" varchar,/, %("title" varchar NOT NULL,), "changed: posts.title"],
      ["another collation", / COLLATE "NOCASE"/, "", "changed: tags.name"],
      ["no AUTOINCREMENT", /("comments" \("id" integer PRIMARY KEY) AUTOINCREMENT/, '\1', "changed: comments.id"],
      ["a key that is none", /("comments" \("id" integer) PRIMARY KEY AUTOINCREMENT/, '\1 "PRIMARY" KEY', "changed: comments.id"],
      ["a key in another order", /PRIMARY KEY \("a", "b"\)/, %(PRIMARY KEY ("b", "a")), "changed: pairs (its constraints)"],
      ["a foreign key less", /CONSTRAINT \S+\s+FOREIGN KEY \("post_id"\)\s+REFERENCES "posts" \("id"\)\s*,/, "", "changed: comments (its constraints)"],
      ["a foreign key to another table", /(FOREIGN KEY \("post_id"\)\s+REFERENCES) "posts"/, '\1 "users"', "changed: comments (its constraints)"],
      ["another action of a foreign key", /ON DELETE RESTRICT/, "ON DELETE CASCADE", "changed: comments (its constraints)"],
      ["another check", /rank >= 0/, "rank >= 1", "changed: posts (its constraints)"],
      ["another table's option", /("v" varchar.*\))/, '\1 WITHOUT ROWID', "changed: pairs (its constraints)"],
      ["an index less", /CREATE UNIQUE INDEX "joined".*/, "", "only live: joined"],
      ["an index that is not unique", /CREATE UNIQUE INDEX "joined"/, %(CREATE INDEX "joined"), "changed: joined"],
      ["an index in another order", /\("user_id", "post_id"\)/, %(("post_id", "user_id")), "changed: joined"],
      ["an index that ascends", /"rank" DESC/, %("rank"), "changed: index_posts_on_title_and_rank"],
      ["another condition of an index", /WHERE rank > 5/, "WHERE rank > 6", "changed: index_posts_on_day"],
      ["another expression of an index", /lower\(title\)/, "upper(title)", "changed: by_small_title"],
      ["a trigger", /\z/, ";\nCREATE TRIGGER gone AFTER INSERT ON items BEGIN DELETE FROM items; END", "only in the file: gone"],
      ["a view", /\z/, ";\nCREATE VIEW items_again AS SELECT * FROM items", "only in the file: items_again"]
    ].each do |what, from, to, names|
      it "is refused for #{what}" do
        statements = schemas.statements("loaded").join(";\n")
        expect(statements).to match(from)
        refused = push(schemas.changed(statements.sub(from, to).split(";\n")))

        expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: schema mismatch\n/)
        expect(refused.stderr.lines[-2]).to eq "#{names}\n"
      end
    end

    it "is refused for columns in another order if a trigger might use them by position" do
      trigger = "CREATE TRIGGER copied AFTER INSERT ON items BEGIN INSERT INTO memberships SELECT * FROM memberships; END"
      statements = schemas.statements("loaded")
      expect(push(schemas.changed([*statements, trigger]), "--skip-schema-check")).to have_attributes(exit_code: 0)
      moved = statements.map { |statement| statement.sub('("user_id" integer, "post_id" integer)', '("post_id" integer, "user_id" integer)') }
      refused = push(schemas.changed([*moved, trigger]))

      expect(refused).to have_attributes(exit_code: 3)
      expect(refused.stderr.lines[-2]).to eq "changed: memberships (the order of its columns)\n"
    ensure
      push(schemas.file("loaded"), "--skip-schema-check")
    end
  end
end
