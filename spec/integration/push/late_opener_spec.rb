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

  # Returns the stranger, which has the replaced file open, and the push.
  def late_opener(*options)
    steps = SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) })
    rename = steps.find { |step| step.program == "worker" && step.call == "rename" }
    app.offer("second")
    eventually { expect(workers).to eq [] }
    looks = looks_at_the_lease
    app.calls.with(rename, :slow) do
      push = app.start_hotswap("cp", *options, WatchedServer::NEW, WatchedServer::LIVE)
      # With the last look at the lease the worker has made sure that it is alone.
      eventually(every: 0.002) { looks_at_the_lease > looks }
      [Stranger.ruby(app.database_path), push]
    end
  end

  # Returns the stranger, after the push has succeeded.
  def pushed_past
    late_opener.then { |stranger, push| stranger.tap { expect(push.wait).to have_attributes(exit_code: 0) } }
  end

  def looks_at_the_lease = app.root.join("calls.trace").binread.scan("worker is_leased").size

  def workers = app.process.members - [app.pid]

  def expect_kept_out(stranger)
    expect(stranger.ask("SELECT name FROM items")).to include("database is locked")
    expect(stranger.ask("INSERT INTO items (name) VALUES ('lost')")).to include("database is locked")
  end

  it "is locked out of the replaced file until it closes it, and the log names it" do
    app.version
    stranger = pushed_past
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
    stranger = pushed_past
    worker = eventually { workers.first }
    eventually { File.readlink("/proc/#{worker}/cwd") == "/" }
    app.stop

    expect_kept_out(stranger)
    files = Dir.glob("/proc/#{worker}/fd/*").map { |descriptor| File.readlink(descriptor) }
    expect(files.grep(/\A\//) - ["/dev/null"]).to all(start_with(app.database_path).or(include("calls.trace")))
    stranger.stop
    eventually { !File.exist?("/proc/#{worker}/cwd") }
  end

  # push/trial.rs: the rollback first waits until no process has the replaced file open.
  it "does not make the rollback after a failed probe wait for requests past its timeout" do
    app.version
    stranger, push = late_opener("--timeout=3", "--probe=exit 1")
    eventually { expect(push.stderr).to include "Rolling back..." }
    begun = Eventually.now
    request = Thread.new { app.get("/wait") }
    eventually { expect(app.root.join("waits")).to exist }
    sleep 2
    stranger.stop

    expect(push.wait).to have_attributes(exit_code: 5, stderr: /the rollback failed, too: gave up after 3\.0 s: .*GET \/wait/m)
    expect(Eventually.now - begun).to be < 4.5
  ensure
    app.write("go-on", "")
    request&.join
  end
end
