# frozen_string_literal: true

# The worker needs the lock file to ask processes to release a database. If the user cannot create it, no process is a
# member: the application works as without hotswap, and a push is refused before a byte is sent.
RSpec.describe "a database in a folder that the application cannot write", lane: "default" do
  include Privileges

  def start(by_way_of: unprivileged, **options)
    @app = keep(ItemsServer.start(by_way_of: by_way_of, **options) { |server| yield server.root.join("storage") })
  end

  attr_reader :app

  def give_away(path, mode)
    skip "files cannot be given away here (that takes root)" unless Process.uid.zero?
    File.chown(65_534, 65_534, path)
    File.chmod(mode, path)
  end

  def push(*options)
    app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]), "database", *options)
  end

  # Each fails without `open_fence`, which is asked before anything is received.
  def expect_served_and_refused(*words, options: ["--in-place=always"])
    expect(app.version).to eq "old"
    expect(app.log).to include("hotswap cannot replace storage/app.sqlite3 while this process has it open: cannot open the lock file")

    expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
    expect(TestDatabase.content(app.root.join("backup.sqlite3"))).to eq TestDatabase.content(app.database_path)

    options.each do |option|
      refused = untouched { push(option) }
      expect(refused).to have_attributes(exit_code: 3, stdout: ""), refused.stderr
      expect(refused.stderr).to include("cannot open the lock file #{app.database_path}.hotswap: ", *words)
    end
    expect(app.log).not_to include("received")
  end

  # SQLite can write there if its WAL exists already.
  it "can be used and pulled, and pushed to when the folder is writable again" do
    start do |storage|
      ["-wal", "-shm"].each { |suffix| storage.join("app.sqlite3#{suffix}").write("") }
      give_away(storage, 0o555)
    end
    storage = app.root.join("storage").to_s

    options = ["--in-place=auto", "--in-place=always", *("--in-place=never" if Project.linux?)]
    expect_served_and_refused("Permission denied", "Make #{storage} writable", options: options)
    app.post("/", name: "more")
    expect(app.version).to eq "old more"

    File.chmod(0o777, storage)
    # The process has it open from before, like a stranger, and becomes a member with its next connection.
    expect(push).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /^#{HotswapCommand.in_place_beside(app.pid)}/)
    expect(app.version).to eq "new"
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.stray_files).to eq []
  end

  it "has another error than one whose lock file belongs to another user" do
    start { |storage| give_away(storage.join("app.sqlite3.hotswap").tap { |fence| fence.write("") }, 0o600) }

    expect_served_and_refused("Permission denied", "Give #{app.database_path}.hotswap the owner and the mode of the database")
  end

  # Fails unless the worker checks how SQLite opened the file (live/mod.rs, `open`): requests would wait for a lock that
  # the worker cannot get.
  it "is refused without holding requests if it is read-only" do
    start(journal_mode: "delete") { |storage| storage.join("app.sqlite3").chmod(0o444) }

    expect_refused_as_read_only("Give the application write permission")
    expect(app.log).not_to include("acquiring swap lock")
  end

  # SQLite opens its WAL with O_CREAT, and falls back to reading (live/mod.rs, `unlockable`).
  it "is refused if it belongs to another user in a protected sticky folder" do
    require_protection
    start(by_way_of: []) do |storage|
      File.chmod(0o1777, storage)
      give_away(storage.join("app.sqlite3"), 0o666)
    end

    expect_refused_as_read_only("fs.protected_regular")
  end

  def expect_refused_as_read_only(words)
    ["--in-place=auto", "--in-place=always"].each do |option|
      refused = untouched { push(option) }
      expect(refused).to have_attributes(exit_code: 3, stderr: /^ERROR: cannot lock #{app.database_path}, because it can only be opened for reading.*#{words}/)
    end
    expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
  end

  def require_protection
    setting = "/proc/sys/fs/protected_regular"
    skip "fs.protected_regular is off" unless File.exist?(setting) && File.read(setting).to_i.positive?
  end

  # Fails if the lock file is opened with O_CREAT although it exists (fence/file.rs).
  it "can be pushed to with another user's lock file in a protected sticky folder" do
    require_protection
    start(by_way_of: []) do |storage|
      File.chmod(0o1777, storage)
      give_away(storage.join("app.sqlite3.hotswap").tap { |fence| fence.write("") }, 0o666)
    end

    expect(push).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /\ASwapping/)
    expect(app.version).to eq "new"
  end

  it "can be a mount of its own in a read-only folder" do
    private_mounts = %w[unshare --mount --propagation private]
    skip "nothing can be mounted here (that takes root)" unless system(*private_mounts, "true", err: File::NULL)
    start(journal_mode: "delete", by_way_of: [*private_mounts, "sh", "-euc", <<~SH, "sh"]) {}
      mount --bind storage storage
      mount --bind storage/app.sqlite3 storage/app.sqlite3
      mount --options remount,bind,ro storage
      exec "$@"
    SH
    expect(app.version).to eq "old"

    expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
    expect(untouched { push("--in-place=never") }).to have_attributes(exit_code: 3, stderr: Project.linux? ? /is mounted as a single file/ : /could be open/)
    expect(untouched { push }).to have_attributes(exit_code: 3, stderr: /Read-only file system.* Make .* writable/)
  end
end
