# frozen_string_literal: true

require_relative "support/watched_server"

# A separate thread writes a large file to the disk while the worker checks it. These specs fail unless the swap waits
# for that thread (staged.rs, `sync`, which push/check_staged.rs calls after the check), and unless the worker stops
# waiting when its client has gone (flusher.rs, `caught_up`). The portable backend cannot write a part of a file to the
# disk. Instead of waiting for a part, it syncs the file.
RSpec.describe "a push of a file that the disk is still writing", lane: "default" do
  watched_app

  # The thread begins eight writes, and waits for all but the last.
  let(:writing) { Project.linux? ? ["sync_file_range staged", 8 + 7] : ["fsync staged", 7] }

  # Eight steps of 8 MB, and a little more.
  def large(name)
    app.offer(name)
    SQLite3::Database.new(app.root.join(WatchedServer::NEW).to_s) do |db|
      db.execute("INSERT INTO items (id, name) VALUES (2, zeroblob(?))", [65 * 1024 * 1024])
      db.execute("DELETE FROM items WHERE id = 2")
    end
  end

  # In place, a write of this size takes longer than the default max_pause.
  def push = app.push(*("--in-place=always" unless Project.linux?))

  # The steps of that thread in a push.
  def writes
    large("first")
    steps = SystemCalls.steps(app.calls.traced { expect(push).to have_attributes(exit_code: 0) })
    steps.select { |step| "#{step.program}: #{step.call} #{step.file}" == "worker: #{writing.first}" }.first(writing.last)
  end

  # In place, SQLite's own syncs make the content durable.
  it "swaps when the whole file is durable, however slow the disk is", :linux do
    last = writes.last
    calls = app.calls.traced { app.calls.with(last, :slow) { expect(app.push).to have_attributes(exit_code: 0) } }
    names = calls.select { |call| call.program == "worker" }.map { |call| "#{call.call} #{call.file}" }

    expect(names.count("sync_file_range staged")).to eq writing.last
    expect(names.rindex("sync_file_range staged")).to be < names.index("fsync staged")
    expect(names.index("fsync staged")).to be < names.index("rename staged")
  end

  it "fails and changes nothing if the disk cannot write a part of it" do
    chosen = writes.values_at(0, 4, -1)
    large("second")

    chosen.product(%i[EIO ENOSPC]) do |step, error|
      refused = untouched { app.calls.with(step, error) { push } }
      expect(refused).to have_attributes(exit_code: 5, stderr: /\AERROR: cannot write .*: (Input\/output error|No space left on device)$/)
    end
    expect(push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[second]
  end

  it "leaves no files after the next push if it is killed there" do
    step = writes[5]
    large("second")
    before = Untouched.listing(app.root.join("storage"))

    expect(app.calls.with(step, :killed_after) { push }).to have_attributes(exit_code: 5)
    expect(app.names).to eq %w[first]
    expect(push).to have_attributes(exit_code: 0)
    expect(Untouched.listing(app.root.join("storage"))).to eq before
  end

  it "stops waiting for a slow disk when its client has gone" do
    step = writes[2]
    large("second")
    untouched(within: 5) do
      app.calls.with(step, :slow, lasting: true) do # All of them take half a minute.
        before = app.log.length
        running = app.start_hotswap("cp", "--skip-integrity-check", WatchedServer::NEW, WatchedServer::LIVE)
        # The portable backend does not know how much unwritten data may wait, so it receives no faster than the disk
        # writes.
        eventually { app.log[before..].include?(Project.linux? ? "received" : "push started") }
        sleep 0.5 # By now there is nothing else that it waits for.
        running.kill(:KILL)
        eventually(5) { app.process.members == [app.pid] }
        expect(app.log[before..]).to include("command failed: the client disconnected")
      end
    end
  end
end
