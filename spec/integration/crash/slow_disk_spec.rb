# frozen_string_literal: true

require_relative "support/watched_server"

# Protected is that a worker ends itself when the disk does not answer while everybody waits (watchdog.rs, `arm`), and
# says so before (watchdog.rs, at `last_words`); and that it is ended where it may not do that any more
# (patience.rs, `bear`).
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

  it "is told of in the log where the file has moved, and the push is not confirmed" do
    step = syncs.last
    app.offer("second")
    refused = app.calls.with(step, :slow) { app.push }

    expect(refused).to have_attributes(exit_code: 5, stderr: /^ERROR: the worker was killed before it confirmed \(SIGKILL.*\)\. The database is whole, and either the old or the new one/)
    expect(app.names).to eq %w[second]
    expect(app.log).to match(/the worker \d+ was ended: it had kept requests waiting for 0\.5 s longer than max_pause/)
    app.offer("third")
    expect(app.push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[third]
  end
end
