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

  it "knows them in the order in which they were registered" do
    expect(Hotswap.databases.to_a).to eq [primary, queue]
    expect(Hotswap.database_path).to eq "db/app.sqlite3"
  end

  it "registers a database once" do
    expect(Hotswap.register(folder.join("db/app.sqlite3"), name: "another")).to be primary
    expect(Hotswap.databases.count).to eq 2
  end

  it "manages the one that is set, and no other" do
    Hotswap.database_path = "db/queue.sqlite3"

    expect(Hotswap.databases.map(&:path)).to eq ["db/queue.sqlite3"]
    expect(Hotswap.find_database("db/app.sqlite3")).to be_nil
    Hotswap.database_path = nil
    expect(Hotswap.databases).to be_empty
    expect(Hotswap.database_path).to be_nil
  end

  it "manages what Hotswap.configure names" do
    Hotswap.configure { |config| config.database_paths = ["db/cache.sqlite3", "db/queue.sqlite3"] }

    expect(Hotswap.databases.map(&:path)).to eq ["db/app.sqlite3", "db/queue.sqlite3", "db/cache.sqlite3"]
  end

  it "does not register what is no file" do
    expect { Hotswap.register(":memory:") }.to raise_error(Hotswap::ConfigurationError, /:memory:.* cannot be swapped/)
  end

  it "leaves one alone that is opened past SQLite's locks under any of its names" do
    again = Hotswap.register("file:#{folder.join("db/queue.sqlite3")}?nolock=1")

    expect(again).to be queue
    expect(queue.objection).to match(/\Anolock=1/)
    expect(primary.objection).to be_nil
    expect(Hotswap.find_database("db/queue.sqlite3")).to be queue
  end

  describe "finding one" do
    it "takes its path, relative or absolute, however it is written" do
      ["db/app.sqlite3", "db/../db/app.sqlite3", folder.join("db/app.sqlite3").to_s, folder.join("db/app.sqlite3")].each do |path|
        expect(Hotswap.find_database(path)).to be primary
      end
    end

    it "takes any path that leads to it through symlinks" do
      folder.join("current").make_symlink("db")
      folder.join("live.sqlite3").make_symlink("db/queue.sqlite3")

      expect(Hotswap.find_database("current/app.sqlite3")).to be primary
      expect(Hotswap.find_database("live.sqlite3")).to be queue
    end

    it "takes its real path where it is registered by a symlink" do
      folder.join("live.sqlite3").make_symlink("db/other.sqlite3")
      folder.join("db/other.sqlite3").write("other")
      linked = Hotswap.register("live.sqlite3")

      expect(Hotswap.find_database("db/other.sqlite3")).to be linked
    end

    it "takes its name, and \"database\" for the first one" do
      expect(Hotswap.find_database("queue")).to be queue
      expect(Hotswap.find_database("database")).to be primary
    end

    it "takes a file that has such a name for the file" do
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
      it "finds none at #{path.inspect}" do
        expect(Hotswap.find_database(path)).to be_nil
      end
    end
  end

  describe "what a connection is about to open" do
    around { |example| Dir.chdir(folder) { example.run } }

    it "is found by every name that SQLite takes for it" do
      folder.join("link").make_symlink("db")
      ["db/app.sqlite3", folder.join("db/app.sqlite3").to_s, "file:db/app.sqlite3?mode=ro", "link/app.sqlite3"].each do |name|
        2.times { expect(Hotswap.databases.opened_as(name)).to be primary }
      end
    end

    it "is none where it is not managed" do
      ["other.sqlite3", ":memory:", "", "file::memory:"].each { |name| expect(Hotswap.databases.opened_as(name)).to be_nil }
    end

    it "is found anew when what is managed changes" do
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
