# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Databases do
  include_context "with hotswap in this process"

  let!(:primary) { Hotswap.register("db/app.sqlite3", name: "primary") }
  let!(:queue) { Hotswap.register("db/queue.sqlite3", name: "queue") }

  before do
    folder.join("db").mkpath
    folder.join("db/app.sqlite3").write("primary")
    folder.join("db/queue.sqlite3").write("queue")
  end

  it "keeps the order of registration" do
    expect(Hotswap.databases.to_a).to eq [primary, queue]
  end

  it "is counted and indexed as an Array" do
    databases = Hotswap.databases

    expect([databases.size, databases.length, databases[0], databases[-1], databases[0, 2], databases[2], databases.last, databases.last(1)])
      .to eq [2, 2, primary, queue, [primary, queue], nil, queue, [queue]]
    expect(databases.each.map(&:name)).to eq %w[primary queue]
    expect(databases.each_with_index.to_a).to eq [[primary, 0], [queue, 1]]
  end

  it "has absolute paths" do
    expect(Hotswap.database_path).to eq folder.join("db/app.sqlite3").to_s
    expect(Hotswap.databases.map(&:path)).to eq [folder.join("db/app.sqlite3").to_s, folder.join("db/queue.sqlite3").to_s]
  end

  it "takes a * in the name of the application's folder for itself, and refuses patterns there" do
    Hotswap.configuration.root = folder.join("my*app").to_s
    expect(Hotswap.register("db/other.sqlite3")).to have_attributes(pattern?: false, label: "db/other.sqlite3")
    expect(Hotswap.find_database("db/other.sqlite3")).to have_attributes(label: "db/other.sqlite3")
    expect { Hotswap.register("tenants/*.sqlite3") }
      .to raise_error(Hotswap::ConfigurationError, %r{\Atenants/\*\.sqlite3 cannot be a pattern, because the path of the application, .*/my\*app, has a \* in it, too\. Rename that folder\z})
  end

  it "registers a database once" do
    expect(Hotswap.register(folder.join("db/app.sqlite3"), name: "another")).to be primary
    expect(Hotswap.databases.count).to eq 2
  end

  it "manages only the database that is set" do
    Hotswap.database_path = "db/queue.sqlite3"

    expect(Hotswap.databases.map(&:label)).to eq ["db/queue.sqlite3"]
    expect(Hotswap.find_database("db/app.sqlite3")).to be_nil
    Hotswap.database_path = nil
    expect(Hotswap.databases).to be_empty
    expect(Hotswap.database_path).to be_nil
  end

  it "manages the databases of Hotswap.configure" do
    Hotswap.configure { |config| config.database_paths = ["db/cache.sqlite3", "db/queue.sqlite3"] }

    expect(Hotswap.databases.map(&:label)).to eq ["db/app.sqlite3", "db/queue.sqlite3", "db/cache.sqlite3"]
  end

  it "manages only the database_path of Hotswap.configure, and what the block registers" do
    known = nil
    Hotswap.configure do |config|
      config.database_path = "db/cache.sqlite3"
      config.register("db/errors.sqlite3", name: "errors")
      known = [config.databases.map(&:label), config.find_database("errors").label]
    end

    expect(known).to eq [["db/cache.sqlite3", "db/errors.sqlite3"], "db/errors.sqlite3"]
    expect(Hotswap.databases.map(&:label)).to eq known.first
  end

  it "does not register what is not a file" do
    expect { Hotswap.register(":memory:") }.to raise_error(Hotswap::ConfigurationError, /:memory:.* cannot replace it/)
  end

  it "does not manage a database that any of its names opens without locks" do
    again = Hotswap.register("file:#{folder.join("db/queue.sqlite3")}?nolock=1")

    expect(again).to be queue
    expect(queue.objection).to match(/\Anolock=1/)
    expect(primary.objection).to be_nil
    expect(Hotswap.find_database("db/queue.sqlite3")).to be queue
  end

  describe "finding a database" do
    it "accepts its path in any spelling, relative or absolute" do
      ["db/app.sqlite3", "db/../db/app.sqlite3", folder.join("db/app.sqlite3").to_s, folder.join("db/app.sqlite3")].each do |path|
        expect(Hotswap.find_database(path)).to be primary
      end
    end

    it "accepts any path that leads to it through symlinks" do
      folder.join("current").make_symlink("db")
      folder.join("live.sqlite3").make_symlink("db/queue.sqlite3")

      expect(Hotswap.find_database("current/app.sqlite3")).to be primary
      expect(Hotswap.find_database("live.sqlite3")).to be queue
    end

    it "accepts its real path if it was registered by a symlink" do
      folder.join("live.sqlite3").make_symlink("db/other.sqlite3")
      folder.join("db/other.sqlite3").write("other")
      linked = Hotswap.register("live.sqlite3")

      expect(Hotswap.find_database("db/other.sqlite3")).to be linked
    end

    it "accepts its name, and \"database\" for the first one" do
      expect(Hotswap.find_database("queue")).to be queue
      expect(Hotswap.find_database("database")).to be primary
    end

    it "prefers a file of that name" do
      folder.join("queue").write("a file")
      folder.join("database").write("a file")

      expect(Hotswap.find_database("queue")).to be_nil
      expect(Hotswap.find_database("database")).to be_nil
    end

    it "finds a database that does not exist yet" do
      Hotswap.register("new/app.sqlite3", name: "new")

      expect(Hotswap.find_database("new/app.sqlite3")).to have_attributes(name: "new")
    end

    ["-", nil, "", "db", "db/app.sqlite3-wal", "elsewhere.sqlite3"].each do |path|
      it "finds nothing at #{path.inspect}" do
        expect(Hotswap.find_database(path)).to be_nil
      end
    end
  end

  describe "the database of a connection" do
    around { |example| Dir.chdir(folder) { example.run } }

    it "is found by every name that SQLite accepts for it" do
      folder.join("link").make_symlink("db")
      ["db/app.sqlite3", folder.join("db/app.sqlite3").to_s, "file:db/app.sqlite3?mode=ro", "link/app.sqlite3"].each do |name|
        2.times { expect(Hotswap.databases.opened_as(name)).to be primary }
      end
    end

    it "is nil if the file is not managed" do
      ["other.sqlite3", ":memory:", "", "file::memory:"].each { |name| expect(Hotswap.databases.opened_as(name)).to be_nil }
    end

    it "is looked up again when the managed databases change" do
      expect(Hotswap.databases.opened_as("other.sqlite3")).to be_nil
      other = Hotswap.register("other.sqlite3")
      expect(Hotswap.databases.opened_as("other.sqlite3")).to be other
      Hotswap.database_path = "db/queue.sqlite3"
      expect(Hotswap.databases.opened_as("other.sqlite3")).to be_nil
    end

    it "is relative to the process's folder, not to the application's" do
      expect(Hotswap.databases.opened_as("db/app.sqlite3")).to be primary
      Dir.chdir("/") { expect(Hotswap.databases.opened_as("db/app.sqlite3")).to be_nil }
    end

    it "follows a symlink that moves" do
      folder.join("link").make_symlink("db/app.sqlite3")
      expect(Hotswap.databases.opened_as("link")).to be primary
      folder.join("link").unlink
      folder.join("link").make_symlink("db/queue.sqlite3")
      expect(Hotswap.databases.opened_as("link")).to be queue
    end
  end
end
