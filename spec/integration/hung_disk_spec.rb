# frozen_string_literal: true

# Protected is that the worker asks no file system when it looks who has the database open (strangers.rs, statx.rs).
RSpec.describe "a disk that does not answer, somewhere on the machine", lane: "default" do
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

  it "hides nobody who has the database open" do
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
