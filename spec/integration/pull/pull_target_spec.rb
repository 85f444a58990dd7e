# frozen_string_literal: true

require "socket"

RSpec.describe "a pull to a target that cannot be created", lane: "default" do
  include Privileges

  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:folder) { app.root.join("backups") }

  before { folder.mkpath }

  after do
    folder.chmod(0o755)
    FileUtils.rm_rf(folder)
  end

  # The backups' folder, and what lies in it, stays as it is.
  def expect_nothing_made(status, message, to:, **options)
    before = folder.children.to_h { |file| [file.basename.to_s, file.lstat.ino] }
    refused = untouched { app.hotswap("cp", "database", to, timeout: 10, **options) }

    expect(refused).to have_attributes(exit_code: status, stdout: "", stderr: /\AERROR: .*#{message}/)
    expect(refused.stderr).to include(to.to_s)
    expect(refused.stderr.scan("ERROR").size).to eq 1
    expect(folder.children.to_h { |file| [file.basename.to_s, file.lstat.ino] }).to eq before
    eventually { app.process.members == [app.pid] }
  end

  it "names the missing folder" do
    expect_nothing_made(3, "No such file or directory.*#{folder}/missing", to: "backups/missing/backup.sqlite3")
  end

  it "names the folder that is not writable" do
    folder.chmod(0o555)

    expect_nothing_made(3, "Permission denied.*#{folder}", to: "backups/backup.sqlite3", program: unprivileged + HotswapCommand::PROGRAM)
  end

  # Into a folder, the file comes with a name of its own (tenants/several_spec.rb).
  it "refuses a folder where the file would be" do
    folder.join("database.sqlite3").mkpath

    expect_nothing_made(2, "backups/database.sqlite3 is a folder. Add the name of the file", to: "backups")
    expect_nothing_made(2, "backups/database.sqlite3 is a folder. Add the name of the file", to: "backups/")
  end

  it "refuses a path below a file" do
    folder.join("file").write("")

    expect_nothing_made(3, "Not a directory", to: "backups/file/backup.sqlite3")
  end

  it "refuses a FIFO, a socket and a device, and suggests -" do
    File.mkfifo(folder.join("fifo"))
    UNIXServer.new(folder.join("socket").to_s).close

    ["backups/fifo", "backups/socket", "/dev/full"].each do |target|
      expect_nothing_made(2, "is (a pipe|a socket|not a regular file)\\. Pass - to write to standard output", to: target)
    end
  end

  # Fails if target.rs treats a path that it cannot stat as free.
  it "refuses a circular link, and leaves it alone" do
    File.symlink("circle", folder.join("circle"))

    expect_nothing_made(3, "Too many levels of symbolic links.*#{folder}/circle", to: "backups/circle")
    expect(folder.join("circle")).to be_symlink
  end

  it "keeps yesterday's backup if the new one fails" do
    yesterday = folder.join("backup.sqlite3").tap { |file| file.write("yesterday's") }
    folder.chmod(0o555)

    expect_nothing_made(3, "Permission denied", to: "backups/backup.sqlite3", program: unprivileged + HotswapCommand::PROGRAM)
    expect(yesterday.read).to eq "yesterday's"
  end

  it "does not affect the next pull to a good target" do
    expect(app.hotswap("cp", "database", "backups/backup.sqlite3")).to have_attributes(exit_code: 0, stdout: "", stderr: HotswapCommand::PULLED)
    expect(TestDatabase.content(folder.join("backup.sqlite3"))).to eq TestDatabase.content(app.database_path)
  end

  it "refuses a trailing slash if there is no such folder" do
    expect_nothing_made(2, "is not a folder. Create it and add the name of a file", to: "backups/today/")
  end

  it "refuses /dev/fd and /dev/stdout, and suggests -" do
    ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].each do |target|
      expect_nothing_made(2, "is a descriptor. Pass - to write to standard output", to: target)
    end
  end

  # Replacing any of them would destroy the database or drop the application's locks (route.rs,
  # refuse_files_of_databases).
  it "refuses the WAL, the index, the journal, the record and the lock file of a database, by any name" do
    app.version
    own = %w[-wal -shm -journal .hotswap.log .hotswap].map { |suffix| "storage/app.sqlite3#{suffix}" }
    File.symlink(app.root.join(own.first), folder.join("link"))
    File.symlink(app.root.join("storage/app.sqlite3-journal"), folder.join("to-be"))
    File.link(app.root.join(own.last), folder.join("second-name"))

    [*own, "backups/link", "backups/to-be", "backups/second-name"].each do |target|
      expect_nothing_made(2, "belongs to the managed database", to: target)
      refused = app.hotswap("cp", target, "database")
      expect(refused).to have_attributes(exit_code: 2, stderr: /belongs to the managed database/)
    end
  end

  # client/mod.rs, receive_file.
  it "warns about a program that writes to the replaced file, but not about a reader", :linux do
    backup = app.file("backups/backup.sqlite3", ItemsServer::SCHEMA, %w[yesterday's])
    reader = Process.spawn("sleep", "60", in: backup)
    expect(app.hotswap("cp", "database", backup)).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)

    writer = Stranger.ruby(backup)
    pulled = app.hotswap("cp", "database", backup)
    expect(pulled).to have_attributes(exit_code: 0, stderr: /\AWARNING: #{backup} is open in process #{writer.pid} \(.*goes to the replaced file and is lost/)
    writer.stop
  ensure
    Process.kill(:KILL, reader)
    Process.wait(reader)
  end
end
