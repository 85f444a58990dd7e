# frozen_string_literal: true

require "sqlite3"
require_relative "unit_helper"

RSpec.describe Hotswap::Database do
  include_context "with hotswap in this process"

  describe ".absolute_path" do
    {
      "db/app.sqlite3" => "/srv/app/db/app.sqlite3",
      "db/../app.sqlite3" => "/srv/app/app.sqlite3",
      "/data/app.sqlite3" => "/data/app.sqlite3",
      Pathname("db/app.sqlite3") => "/srv/app/db/app.sqlite3",
      "file:/data/app.sqlite3" => "/data/app.sqlite3",
      "file:///data/app.sqlite3?mode=ro" => "/data/app.sqlite3",
      "file://localhost/data/app.sqlite3?cache=private&immutable=1" => "/data/app.sqlite3",
      "file:/data/my%20app%3f.sqlite3" => "/data/my app?.sqlite3",
      "file:/data/caf%C3%A9.sqlite3" => "/data/café.sqlite3",
      "file:/data/café%21.sqlite3" => "/data/café!.sqlite3",
      "file:/data/app.sqlite3#fragment" => "/data/app.sqlite3"
    }.each do |name, path|
      it "of #{name} is #{path}" do
        expect(described_class.absolute_path(name, "/srv/app")).to eq path
      end
    end

    it "of a relative URI is below the process's folder, as for SQLite" do
      expect(described_class.absolute_path("file:db/app.sqlite3?mode=ro", "/srv/app")).to eq File.join(Dir.pwd, "db/app.sqlite3")
    end

    [
      "", nil, ":memory:", "file::memory:", "file::memory:?cache=shared", "file:shared?mode=memory&cache=shared",
      "file:shared?cache=shared&mode=memory", "file:", "file:?mode=rwc"
    ].each do |name|
      it "of #{name.inspect} is nil, because it is not a file" do
        expect(described_class.absolute_path(name, "/srv/app")).to be_nil
      end
    end

    # Compares with what SQLite opens. The sqlite3 gem before 2.2 needs a flag for URIs.
    flags = SQLite3::Constants::Open.then { |open| open::READWRITE | open::CREATE | open::URI }
    %w[
      app.sqlite3 ./app.sqlite3 sub/../app.sqlite3 file:app.sqlite3 file:sub/app.sqlite3?mode=rwc file:my%20app.sqlite3
      file:caf%C3%A9.sqlite3 file:app.sqlite3?cache=private#fragment file:%61pp.sqlite3
    ].each do |name|
      it "of #{name} is the file that SQLite opens" do
        folder.join("sub").mkpath
        opened = Dir.chdir(folder) do
          database = SQLite3::Database.new(name, flags: flags)
          database.filename.tap { database.close }
        end
        expect(Dir.chdir(folder) { described_class.absolute_path(name, folder) }).to eq opened
      end
    end
  end

  describe ".resolve" do
    it "follows every symlink" do
      folder.join("real").mkpath
      folder.join("real/app.sqlite3").write("x")
      folder.join("link").make_symlink("real")
      folder.join("real/alias.sqlite3").make_symlink("app.sqlite3")

      expect(described_class.resolve(folder.join("link/alias.sqlite3").to_s)).to eq folder.join("real/app.sqlite3").to_s
    end

    it "follows symlinks as far as the path exists" do
      folder.join("real").mkpath
      folder.join("link").make_symlink("real")

      expect(described_class.resolve(folder.join("link/not/yet.sqlite3").to_s)).to eq folder.join("real/not/yet.sqlite3").to_s
    end
  end

  it "has its path in the application as its label" do
    Hotswap.configuration.root = "/srv/app"

    expect(described_class.new("db/app.sqlite3").label).to eq "db/app.sqlite3"
    expect(described_class.new("/srv/app/db/app.sqlite3").label).to eq "db/app.sqlite3"
    expect(described_class.new("/data/app.sqlite3").label).to eq "/data/app.sqlite3"
  end

  it "has an absolute path below the application's root" do
    Hotswap.configuration.root = "/srv/app"

    expect(described_class.new(Pathname("db/app.sqlite3"), name: :primary)).to have_attributes(path: "/srv/app/db/app.sqlite3", name: "primary")
    expect(described_class.new("file:/data/app.sqlite3?mode=rw").path).to eq "/data/app.sqlite3"
  end
end
