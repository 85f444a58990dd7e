# frozen_string_literal: true

# Files that a rename cannot replace. The worker knows that before any request waits.
RSpec.describe "a push to a file that cannot be replaced, because it", lane: "default" do
  include Privileges

  def start(by_way_of: [], &block)
    ItemsServer.start(by_way_of: by_way_of, &block).tap { |app| @app = app }.version
  end

  after { @app&.tear_down }

  attr_reader :app

  def push(*options)
    app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]), "database", *options)
  end

  # Each fails without its line in `Obstacle::of`.
  def expect_in_place_or_refused(words)
    inode = File.stat(app.database_path).ino
    refused = untouched { push("--in-place=never") }
    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(refused.stderr).to include("ERROR: ", words, "or leave out --in-place=never")

    expect(push).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /^In place, because the database .*#{Regexp.escape(words)}/)
    expect(app.version).to eq "new"
    expect(File.stat(app.database_path).ino).to eq inode
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.stray_files).to eq []
  end

  it "has a second hard link" do
    start { |server| File.link(server.root.join("storage/app.sqlite3"), server.root.join("other-name.sqlite3")) }

    expect_in_place_or_refused("has 2 names (hard links)")
    expect(File.identical?(app.database_path, app.root.join("other-name.sqlite3"))).to be true
  end

  it "is a mount of its own", :linux do
    private_mounts = %w[unshare --mount --propagation private]
    skip "nothing can be mounted here (that takes root)" unless system(*private_mounts, "true", err: File::NULL)
    start(by_way_of: [*private_mounts, "sh", "-c", 'mount --bind storage/app.sqlite3 storage/app.sqlite3 && exec "$@"', "sh"])

    expect_in_place_or_refused("is mounted as a single file")
  end

  it "belongs to another user, in a folder with the sticky bit", :linux do
    skip "files cannot be given away here (that takes root)" unless Process.uid.zero?
    start(by_way_of: unprivileged("-fowner")) do |server|
      storage = server.root.join("storage")
      FileUtils.chmod(0o1777, storage)
      FileUtils.chmod(0o666, storage.join("app.sqlite3"))
      FileUtils.chown(65_534, 65_534, [storage, storage.join("app.sqlite3")])
    end

    expect_in_place_or_refused("belongs to another user")
  end
end
