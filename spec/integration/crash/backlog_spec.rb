# frozen_string_literal: true

require_relative "support/watched_server"

# A separate thread writes a large file to the disk while the worker checks it. These specs fail unless the swap waits
# for that thread (staged.rs, `sync`, which push/pass.rs calls after the check), and unless the worker stops waiting when
# its client has gone (flusher.rs, `caught_up`).
RSpec.describe "a push of a file that the disk is still writing", lane: "default" do
  watched_app

  # Eight steps of 8 MB, and a little more.
  def large(name)
    app.offer(name)
    SQLite3::Database.new(app.root.join(WatchedServer::NEW).to_s) do |db|
      db.execute("INSERT INTO items (id, name) VALUES (2, zeroblob(?))", [65 * 1024 * 1024])
      db.execute("DELETE FROM items WHERE id = 2")
    end
  end

  def steps
    large("first")
    SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) }).select { |step| step.program == "worker" }
  end

  def writing(steps) = steps.select { |step| "#{step.call} #{step.file}" == "sync_file_range staged" }

  it "swaps when the whole file is durable, however slow the disk is" do
    last = writing(steps).last
    calls = app.calls.traced { app.calls.with(last, :slow) { expect(app.push).to have_attributes(exit_code: 0) } }
    names = calls.select { |call| call.program == "worker" }.map { |call| "#{call.call} #{call.file}" }

    expect(names.count("sync_file_range staged")).to eq 8 + 7
    expect(names.rindex("sync_file_range staged")).to be < names.index("fsync staged")
    expect(names.index("fsync staged")).to be < names.index("rename staged")
  end

  it "fails and changes nothing if the disk cannot write a part of it" do
    writes = writing(steps)
    large("second")

    writes.values_at(0, 4, -1).product(%i[EIO ENOSPC]) do |step, error|
      refused = untouched { app.calls.with(step, error) { app.push } }
      expect(refused).to have_attributes(exit_code: 5, stderr: /\AERROR: cannot write .*: (Input\/output error|No space left on device)$/)
    end
    expect(app.push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[second]
  end

  it "leaves no files after the next push if it is killed there" do
    writes = writing(steps)
    large("second")
    before = Untouched.listing(app.root.join("storage"))

    expect(app.calls.with(writes[5], :killed_after) { app.push }).to have_attributes(exit_code: 5)
    expect(app.names).to eq %w[first]
    expect(app.push).to have_attributes(exit_code: 0)
    expect(Untouched.listing(app.root.join("storage"))).to eq before
  end

  it "stops waiting for a slow disk when its client has gone" do
    writes = writing(steps)
    large("second")
    untouched(within: 5) do
      app.calls.with(writes[2], :slow, lasting: true) do # All of them take half a minute.
        before = app.log.length
        push = app.start_hotswap("cp", "--skip-integrity-check", WatchedServer::NEW, WatchedServer::LIVE)
        eventually { app.log[before..].include?("received") }
        sleep 0.5 # By now there is nothing else that it waits for.
        push.kill(:KILL)
        eventually(5) { app.process.members == [app.pid] }
        expect(app.log[before..]).to include("command failed: the client disconnected")
      end
    end
  end
end
