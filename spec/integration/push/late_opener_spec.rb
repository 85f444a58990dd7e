# frozen_string_literal: true

require_relative "../crash/support/watched_server"

# These specs fail unless the worker keeps the replaced file locked while any process has it open (live/replaced.rs).
# They slow the rename down, so that another program can open the file just before it.
RSpec.describe "a process that opens the database at the instant of the rename", :linux, lane: "default" do
  before do
    skip "no C compiler here makes the library that stands in between" unless SystemCalls.available?
    @app = WatchedServer.start(settings: "config.max_pause = 4")
    @app.offer("first")
  end
  after { @app&.tear_down }

  attr_reader :app

  # Returns the stranger, which has the replaced file open.
  def late_opener
    steps = SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) })
    rename = steps.find { |step| step.program == "worker" && step.call == "rename" }
    app.offer("second")
    eventually { expect(workers).to eq [] }
    looks = looks_at_the_lease
    app.calls.with(rename, :slow) do
      push = app.start_hotswap("cp", WatchedServer::NEW, WatchedServer::LIVE)
      # With the last look at the lease the worker has made sure that it is alone.
      eventually(every: 0.002) { looks_at_the_lease > looks }
      Stranger.ruby(app.database_path).tap { expect(push.wait).to have_attributes(exit_code: 0) }
    end
  end

  def looks_at_the_lease = app.root.join("calls.trace").binread.scan("worker is_leased").size

  def workers = app.process.members - [app.pid]

  def expect_kept_out(stranger)
    expect(stranger.ask("SELECT name FROM items")).to include("database is locked")
    expect(stranger.ask("INSERT INTO items (name) VALUES ('lost')")).to include("database is locked")
  end

  it "is locked out of the replaced file until it closes it, and the log names it" do
    app.version
    stranger = late_opener
    eventually { expect(app.log).to match(/WARN.*process #{stranger.pid} \(.* still has the replaced file of .* open.*locked/) }
    expect_kept_out(stranger)
    expect(app.post("/", name: "acknowledged").status).to eq 200
    app.offer("third")
    expect(app.push).to have_attributes(exit_code: 0)
    expect_kept_out(stranger)
    expect(app.names).to eq %w[third]

    stranger.stop
    eventually { expect(workers).to eq [] }
    expect(app.log).to include("no process has the replaced file of #{app.database_path} open any more")
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
  end

  it "is locked out even after the server has ended" do
    app.version
    stranger = late_opener
    worker = eventually { workers.first }
    eventually { File.readlink("/proc/#{worker}/cwd") == "/" }
    app.stop

    expect_kept_out(stranger)
    files = Dir.glob("/proc/#{worker}/fd/*").map { |descriptor| File.readlink(descriptor) }
    expect(files.grep(/\A\//) - ["/dev/null"]).to all(start_with(app.database_path).or(include("calls.trace")))
    stranger.stop
    eventually { !File.exist?("/proc/#{worker}/cwd") }
  end
end
