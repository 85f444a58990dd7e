# frozen_string_literal: true

%w[wal delete].each do |journal_mode|
  RSpec.describe "a pull that is read slowly, of a database with journal mode #{journal_mode}" do
    before(:context) do
      @app = ItemsServer.start(journal_mode: journal_mode) do |server|
        # Longer than the pipe, and all that is read in advance.
        SQLite3::Database.new(server.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (hex(randomblob(4000000)))") }
      end
    end
    after(:context) { @app&.tear_down }

    attr_reader :app

    def live(&) = SQLite3::Database.new(app.database_path, &)

    # A pull that nobody reads before the block is done. Answers what it was.
    def read_late
      reader, writer = IO.pipe(binmode: true)
      pull = app.start_hotswap("cp", "database", "-", out: writer)
      writer.close
      yield pull
      reader.read.tap { expect(pull.wait).to have_attributes(exit_code: 0, stderr: "") }
    ensure
      reader&.close
    end

    it "lets the database go once there is a copy, which has no name, and is what the database was when it began" do
      before = TestDatabase.content(app.database_path)
      files = Dir.children(File.dirname(app.database_path))
      log = app.log.length

      pulled = read_late do |pull|
        eventually { app.log[log..].include?("the reader is slow: it gets a copy, the database is let go") }
        expect(Dir.children(File.dirname(app.database_path))).to match_array(files)
        live { |db| db.execute("INSERT INTO items (name) VALUES ('meanwhile')") }
        live { |db| expect(db.execute("PRAGMA wal_checkpoint(TRUNCATE)")).to eq [[0, 0, 0]] } if journal_mode == "wal"
        expect(app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database").exit_code).to eq 0
        expect(app.version).to eq "new"
        expect(pull).to be_running
      end

      copy = app.root.join("files/copy.sqlite3").tap { |file| file.binwrite(pulled) }
      expect(TestDatabase.integrity(copy)).to eq "ok"
      expect(TestDatabase.content(copy)).to eq before
      expect(app.log[log..]).to include("pull complete")
    end
  end
end
