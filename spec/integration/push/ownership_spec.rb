# frozen_string_literal: true

require_relative "../../support/items_server"

# A database that several users share: the server runs as one of them, a deployment or a job as another.
RSpec.describe "the owner of a database", lane: "default" do
  include Privileges

  www, deploy, shared, reader = 12_001, 12_002, 12_777, 12_003

  # The block prepares the folder of the databases, before the server boots.
  def start(by_way_of, &block)
    # In WAL mode, SQLite's files next to the database would not be writable for the group.
    @app = keep(ItemsServer.start(by_way_of: by_way_of, journal_mode: "delete") do |server|
      FileUtils.chmod(0o755, server.root)
      FileUtils.chown_R(12_001, 12_001, server.root)
      block.call(server.root.join("storage"), server.root.join("storage/app.sqlite3"))
    end)
    expect(app.version).to eq "old"
  end

  attr_reader :app

  # A push that replaces the file, where one can.
  def replace = push(*("--in-place=never" if Project.linux?))

  def push(*options) = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]), "database", *options)

  def ownership(file = app.database_path) = File.stat(file).then { |stat| [stat.uid, stat.gid, stat.mode & 0o7777] }

  # Another process of the application: it opens the database, says what is in it, and then for each line again.
  another_process = <<~RUBY
    require "hotswap"
    Hotswap.logger = Logger.new($stderr)
    Hotswap.register(ARGV[0])
    database = nil
    Hotswap.on_disconnect { database = database&.close && nil }
    $stdout.sync = true
    loop do
      database ||= SQLite3::Database.new(ARGV[0])
      database.execute("INSERT INTO items (name) VALUES ('member')")
      puts database.execute("SELECT name FROM items").join(" ")
      break unless $stdin.gets
    end
  RUBY

  define_method(:member) do |prefix, &block|
    io = IO.popen([Project.bundled_environment, *prefix, *Project::RUBY, "-e", another_process, app.database_path],
      "r+", err: [:child, :out], unsetenv_others: true)
    block.call(io)
  ensure
    io&.close
  end

  it "stays the same after a push by root" do
    skip "files cannot be given away here (that takes root)" unless Process.uid.zero?
    start([]) { |_, database| FileUtils.chown(deploy, shared, database).then { FileUtils.chmod(0o660, database) } }

    expect(replace).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "new"
    expect(ownership).to eq [deploy, shared, 0o660]
    expect(ownership("#{app.database_path}.hotswap")).to eq [deploy, shared, 0o660]
  end

  # Fails without the second attempt in `copy_ownership_from`: the database would belong to www alone.
  it "keeps its group after a push by a member of the group" do
    start(as_user(www, groups: [www, shared])) do |storage, database|
      FileUtils.chmod(0o770, storage)
      FileUtils.chown(deploy, shared, [storage, database])
      FileUtils.chmod(0o660, database)
    end
    expect(ownership("#{app.database_path}.hotswap")).to eq [www, shared, 0o660]

    member(as_user(deploy, groups: [deploy, shared])) do |other|
      expect(other.gets).to eq "old member\n"
      expect(replace).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(ownership).to eq [Project.linux? ? www : deploy, shared, 0o660]
      expect(app.version).to eq "new"
      other.puts
      # The member logs that it moved, on the same stream.
      expect(other.each_line).to include("new member\n")
      expect(app.version).to eq "new member"
    end
  end

  it "stays the same by writing in place if a user would lose access", :linux do
    start(unprivileged("-chown")) do |_, database|
      FileUtils.chown(deploy, shared, database)
      FileUtils.chmod(0o660, database)
    end

    refused = untouched { push("--in-place=never") }
    expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: .* belongs to user #{deploy} and group #{shared}, .* or leave out --in-place=never$/)
    expect(push).to have_attributes(exit_code: 0, stderr: /^In place, because the database belongs to user #{deploy}/)
    expect(app.version).to eq "new"
    expect(ownership).to eq [deploy, shared, 0o660]
  end

  it "does not matter if every user has access" do
    start(unprivileged("-chown")) do |_, database|
      FileUtils.chown(deploy, shared, database)
      FileUtils.chmod(0o666, database)
    end

    expect(replace).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "new"
    expect(ownership.last).to eq 0o666
  end

  # Holds a lock on each byte of the fence, from a descriptor that is open for reading, as long as the block runs.
  def locking_as(user, fence)
    lock = <<~RUBY
      $stdout.sync = true
      File.open(ARGV[0]) { |file| file.fcntl(6, [0, 0, 0, 3, 0].pack("s!s!x4q!q!i!x4")) && (puts("locked") || $stdin.read) }
    RUBY
    as_reader = %W[setpriv --reuid=#{user} --regid=#{user} --clear-groups]
    io = IO.popen([Project.plain_environment, *as_reader, RbConfig.ruby, "--disable-gems", "-e", lock, fence], "r+", err: [:child, :out], unsetenv_others: true)
    yield io.gets.to_s
  ensure
    io&.close
  end

  it "decides who may lock the lock file: only users who may write to the database" do
    start(as_user(www)) do |storage, database|
      # The fence as a version before this one left it.
      FileUtils.touch("#{database}.hotswap").then { FileUtils.chown(www, www, "#{database}.hotswap") }
      FileUtils.chmod(0o755, storage)
      FileUtils.chmod(0o644, [database, "#{database}.hotswap"])
    end
    fence = "#{app.database_path}.hotswap"

    locking_as(reader, fence) do |said|
      expect(said).to include("Permission denied")
      expect(push).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: HotswapCommand::SWAPPED)
    end
    expect(File.stat(fence).mode & 0o777).to eq 0o600
  end

  # Fails unless a worker checks who holds the fence's locks (fleet/admission.rs, require_members_alone).
  it "makes a push fail, without a pause, if a read-only user holds an old lock, and names the process" do
    reading = nil
    start(as_user(www)) do |storage, database|
      FileUtils.touch("#{database}.hotswap").then { FileUtils.chown(www, www, "#{database}.hotswap") }
      FileUtils.chmod(0o755, storage.parent)
      FileUtils.chmod(0o755, storage)
      FileUtils.chmod(0o644, [database, "#{database}.hotswap"])
      reading = Fiber.new { locking_as(reader, "#{database}.hotswap") { |said| Fiber.yield said } }
      expect(reading.resume).to eq "locked\n"
    end
    fence = "#{app.database_path}.hotswap"

    held = "#{HotswapCommand.named('\d+', ".*ruby.*")} holds a lock on #{fence}"
    why = Project.linux? ? ", but its user \\(uid #{reader}\\) may only read the database" : " that only hotswap takes"
    ["auto", *("never" if Project.linux?), "always"].each do |choice|
      refused = push("--in-place=#{choice}")
      expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /^ERROR: #{held}#{why}/)
    end
    expect(app.log).not_to include("received")
    expect(app.version).to eq "old"
    expect(File.stat(fence).mode & 0o777).to eq 0o600

    reading.resume
    expect(push).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "new"
  end
end
