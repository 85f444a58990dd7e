# frozen_string_literal: true

# These specs fail if the worker asks a file system while it looks for processes that have the database open
# (holders.rs, statx.rs).
RSpec.describe "an unrelated disk that does not answer", lane: "default" do
  before(:context) do
    skip "no file system can be mounted here by way of /dev/fuse" unless FuseDisk.available?
    @app = ItemsServer.start
  end
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:disk) { FuseDisk.mount(app.root.join("elsewhere").tap(&:mkpath)) }
  let(:new) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]) }

  # A process that has a file on that disk open.
  def user_of_the_disk
    file = File.join(disk.folder, "file")
    File.write(file, "")
    pid = Process.spawn("sleep", "60", in: file)
    yield pid
  ensure
    Process.kill(:KILL, pid)
    disk.unmount
    Process.wait(pid)
  end

  it "delays no push" do
    user_of_the_disk do
      disk.hold(:getattr) do
        expect(app.hotswap("cp", new, "database", timeout: 10)).to have_attributes(exit_code: 0)
      end
    end
    expect(app.version).to eq "new"
  end

  it "does not hide processes that have the database open", :linux do
    app.version
    stranger = Stranger.ruby(app.database_path)
    stranger.ask("SELECT name FROM items")
    user_of_the_disk do
      disk.hold(:getattr) do
        refused = app.hotswap("cp", new, "database", "--in-place=never", timeout: 20)
        expect(refused).to have_attributes(exit_code: 4, stderr: /ERROR: .* is open in process #{stranger.pid} \(/)
      end
    end
  end
end

# These specs fail unless a thread watches the copy (watchdog.rs), and unless the worker releases its locks before it
# ends: a thread that waits for the disk keeps every descriptor of the process open (worker/descriptors.rs).
%w[wal delete].each do |mode|
  RSpec.describe "a pull to a disk that does not answer, with journal mode #{mode}", lane: "default" do
    before(:context) do
      skip "no file system can be mounted here by way of /dev/fuse" unless FuseDisk.available?
      @app = ItemsServer.start(journal_mode: mode)
    end
    after(:context) { @app&.tear_down }

    attr_reader :app

    let(:disk) { FuseDisk.mount(app.root.join("elsewhere").tap(&:mkpath)) }

    before { app.version }

    def expect_let_go
      eventually { expect(app.post("/", name: "meanwhile", timeout: 10).status).to eq 200 }
      pushed = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database", timeout: 20)
      expect(pushed).to have_attributes(exit_code: 0)
      expect(app.version).to eq "new"
    end

    def workers = (app.process.members - [app.pid])

    # The command itself has the file open, and ends when the disk answers, like any other that writes there.
    it "releases the database, and says that the disk does not answer" do
      pull = nil
      disk.hold(:write) do
        pull = app.start_hotswap("cp", "database", "elsewhere/backup.sqlite3")
        eventually(30) { expect(pull.stderr).to match(/\AERROR: .*elsewhere\/backup\.sqlite3 .*has not answered/) }
        expect_let_go
      end
      expect(pull.wait).to have_attributes(exit_code: 5, stdout: "")
      eventually { expect(workers).to eq [] }
      expect(disk.children).to eq []
    end

    it "releases the database when the command is killed" do
      disk.hold(:write) do
        pull = app.start_hotswap("cp", "database", "elsewhere/backup.sqlite3")
        eventually { workers.any? { |pid| waits_for_a_disk?(pid) } }
        pull.kill
        expect_let_go
      end
      eventually { expect(workers).to eq [] }
    end

    # In a system call that only the disk ends.
    def waits_for_a_disk?(pid)
      Dir.glob("/proc/#{pid}/task/*/wchan").any? { |file| File.read(file).include?("request_wait_answer") }
    rescue Errno::ENOENT, Errno::ESRCH
      false
    end
  end
end
