# frozen_string_literal: true

require_relative "support/watched_server"

# Protected is that a worker ends itself when the disk does not answer while everybody waits (watchdog.rs, `arm`), and
# says so before (watchdog.rs, at `last_words`); and that it lets requests in where the file has moved (fleet.rs, `let_in`).
RSpec.describe "a disk that does not answer while the gates are closed", lane: "default" do
  watched_app

  # Of the folder: after the log is removed, which is the last thing before the file moves; and after that.
  def syncs
    app.offer("first")
    steps = SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) })
    steps.select { |step| step.program == "worker" && "#{step.call} #{step.file}" == "fsync folder" }
  end

  def listing = Untouched.listing(app.root.join("storage"))

  it "has the push end with 4 and the reason, changes nothing, and leaves nothing that the next one does not take away" do
    step = syncs.first
    before = listing
    app.offer("second")
    refused = app.calls.with(step, :slow) { app.push }

    expect(refused).to have_attributes(exit_code: 4, stderr: /^ERROR: .*longer than 0\.5 s, because the disk did not answer.*nothing was changed/)
    expect(app.names).to eq %w[first]
    expect(app.log).to match(/command failed: .*the disk did not answer/)
    expect(app.push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[second]
    expect(listing).to eq before
  end

  # swap.rs, `run`, behind the rename.
  it "keeps no request waiting where the file has moved, and the push ends when the disk has answered" do
    pushing_slowly do |push|
      expect(app.names).to eq %w[second]
      expect(push).to be_running
      expect(push.wait).to have_attributes(exit_code: 0, stdout: "OK\n")
    end
    expect(app.log).not_to include("was ended")
    expect(app.log).to match(/WARN.*in place and in use, but the disk has not made that durable yet/)
  end

  it "has a push whose worker is killed then say that the new database is in place" do
    pushing_slowly do |push|
      (app.process.members - [app.pid]).each { |worker| Process.kill(:KILL, worker) }
      expect(push.wait).to have_attributes(exit_code: 5, stderr: /^ERROR: the new database is in place, but .*; a power cut now may bring the old one back/)
    end
    expect(app.names).to eq %w[second]
    app.offer("third")
    expect(app.push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[third]
  end

  # The block gets a push that waits for the disk behind its rename.
  def pushing_slowly
    step = syncs.last
    app.offer("second")
    app.calls.with(step, :slow) do
      push = app.start_hotswap("cp", WatchedServer::NEW, WatchedServer::LIVE)
      eventually { expect(push.stderr).to include("Waiting for the disk") }
      yield push
    end
  end
end
