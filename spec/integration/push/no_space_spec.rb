# frozen_string_literal: true

# space.rs, `require`.
RSpec.describe "a disk that is nearly full", lane: "default" do
  app_on_small_disk(AppServer, 40) # of which a push leaves 16 MB

  let(:live) { "storage/production.sqlite3" }
  # A worker that still holds a replaced database gives its room back when it ends.
  before { eventually { app.process.members == [app.pid] } }

  let(:big) { app.databases.of_size(30) }

  {"a file" => ->(file) { {source: file} }, "stdin" => ->(file) { {source: "-", in: file} }}.each do |what, options|
    it "refuses a push from #{what} that would leave no space for the application, with the figures" do
      before = free
      arguments = options.call(big)
      refused = untouched { app.hotswap("cp", arguments.delete(:source), live, **arguments) }

      expect(refused).to have_attributes(exit_code: 3, stdout: "")
      expect(refused.stderr).to match(/\AERROR: .*needs \d+ MB plus a reserve of 16 MB, but only \d+ MB are free. Make room/)
      expect(free).to be_within(1_000_000).of(before)
      expect(app.post("/items", token: "written after #{what}").status).to eq 201
    end
  end

  it "accepts a push that fits" do
    expect(app.hotswap("cp", app.databases.release("fits"), live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "fits"
  end

  it "refuses a push in place whose WAL would fill it, with the figures, before any request waits", lane: "default" do
    log = app.log.length
    before = free
    refused = untouched { app.hotswap("cp", "--in-place=always", app.databases.of_size(9), live) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(refused.stderr).to match(/^ERROR: writing into the database needs \d+ MB plus a reserve of 16 MB, but only \d+ MB are free. Make room/)
    expect(app.log[log..]).not_to include("requests are queued")
    expect(free).to be_within(1_000_000).of(before)
  end

  it "refuses a pull that would fill it, and keeps yesterday's backup" do
    yesterday = app.root.join("storage/backup.sqlite3").tap { |file| file.write("yesterday's") }
    leave(17_500_000)

    refused = untouched { app.hotswap("cp", live, yesterday) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(refused.stderr).to match(/\AERROR: the snapshot needs 3 MB plus a reserve of 16 MB, but only \d+ MB are free/)
    expect(yesterday.read).to eq "yesterday's"
  ensure
    FileUtils.rm_f(yesterday)
  end

  it "makes a push fail cleanly if another program fills it meanwhile" do
    fits = app.databases.of_size(12)
    failed = untouched do
      push = FedCommand.start(app, "cp", "-", live)
      push.write(File.binread(fits, 4_194_304))
      eventually { staged_bytes >= 4_194_304 }
      leave(1_000_000)
      push.write("\0" * 4_194_304)
      push.close
      push.wait
    ensure
      FileUtils.rm_f(filler)
    end

    expect(failed).to have_attributes(exit_code: 5, stdout: "")
    expect(failed.stderr).to match(/\AERROR: cannot write .*staged: No space left on device/)
  end

  def staged_bytes = app.root.glob("storage/.*.staged").sum(&:size)
end

# hotswap writes nothing there. The new content is next to the database, where hotswap has checked for space (staged.rs,
# `create`), and so is the copy for a slow reader (pull/spool.rs).
RSpec.describe "a full disk for temporary files", lane: "default" do
  before(:context) do
    skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
    @folder = Dir.mktmpdir("hs")
    @disk = SmallDisk.new(@folder, 1).tap(&:mount)
    @environment = {"TMPDIR" => @folder, "SQLITE_TMPDIR" => @folder}
    @app = ItemsServer.start(env: @environment)
    begin
      File.open(File.join(@folder, "filler"), "w") { |file| loop { file.syswrite("x" * 4096) } }
    rescue Errno::ENOSPC
      nil
    end
  end

  after(:context) do
    @app&.tear_down
  ensure
    @disk&.unmount
    FileUtils.rm_rf(@folder) if @folder
  end

  attr_reader :app

  def copy(*arguments, **options) = app.hotswap("cp", *arguments, env: @environment, **options)

  it "prevents neither pushes nor pulls" do
    rows = Array.new(20_000) { |number| "#{number} of many" }
    file = app.file("files/new.sqlite3", "#{ItemsServer::SCHEMA}; CREATE UNIQUE INDEX names ON items (name)", rows)

    expect(copy(file, "database", "--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(copy(file, "database", "--in-place=always")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(copy("database", "backup.sqlite3")).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
    expect(copy("-", "database", in: file)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(TestDatabase.content(app.root.join("backup.sqlite3"))).to eq TestDatabase.content(app.database_path)
  end
end
