# frozen_string_literal: true

require_relative "support/watched_server"

# These specs fail unless a worker ends itself, and says so, if the disk does not answer while requests wait
# (watchdog.rs), and unless it lets requests in after the rename (`let_in`).
RSpec.describe "a disk that does not answer while the gates are closed", lane: "default" do
  watched_app

  def listing = Untouched.listing(app.root.join("storage"))

  # watchdog.rs, `of_pause`.
  it "makes the push end with 4 and the reason, and changes nothing" do
    step = last_before_the_swap
    before = listing
    app.offer("second")
    refused = app.calls.with(step, :slow) { app.push }

    expect(refused).to have_attributes(exit_code: 4, stderr: /^ERROR: gave up: the disk was too slow to finish within max_pause \(0\.5 s\)\. Nothing was swapped/)
    expect(app.names).to eq %w[first]
    expect(app.log).to match(/command failed: gave up: the disk was too slow/)
    expect(app.push).to have_attributes(exit_code: 0)
    expect(app.names).to eq %w[second]
    expect(listing).to eq before
  end

  # The last lock that SQLite sets or releases on the database before the WAL goes. In place, the last write of the
  # board before SQLite writes into the WAL.
  def last_before_the_swap
    app.offer("first")
    steps = SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) })
    last, swap = Project.linux? ? ["lock app.sqlite3", "unlink app.sqlite3-shm"] : ["write app.sqlite3.hotswap", "write app.sqlite3-wal"]
    steps.take_while { |step| "#{step.call} #{step.file}" != swap }.reverse.find { |step| "#{step.program} #{step.call} #{step.file}" == "worker #{last}" }
  end

  # In place, SQLite's commit makes the content durable, and not a sync of the folder.
  describe "in a push by a rename", :linux do
    # The two syncs of the folder: after the WAL is removed, right before the rename, and after the rename.
    def syncs
      app.offer("first")
      steps = SystemCalls.steps(app.calls.traced { expect(app.push).to have_attributes(exit_code: 0) })
      steps.select { |step| step.program == "worker" && "#{step.call} #{step.file}" == "fsync folder" }
    end

    # push/replace.rs, `run`, and push/whole_database.rs, `replace`: the folder's sync before the rename takes two
    # seconds, the next one does not.
    it "holds no request during a slow sync of the folder, and the push tries again" do
      step = syncs.first
      app.offer("second")
      push = app.calls.with(step, :slow) { app.start_hotswap("cp", WatchedServer::NEW, WatchedServer::LIVE).tap { |running| eventually { expect(running).not_to be_running } } }

      expect(push.wait).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: /requests held for/)
      expect(app.names).to eq %w[second]
      expect(app.log).to include("the disk is too slow to swap within max_pause, trying again")
      expect(app.log).not_to match(/killed worker|ended the worker/)
    end

    # quick_disk.rs: in the trial, with the gates open, and then in the sync itself.
    ["nameless", "folder"].each do |file|
      it "delays only the push, which says so, until it is fast again: fsync #{file}", :quiet do
        syncs
        app.offer("second")
        push = app.calls.with(sync_of(file), :slow, lasting: true) do
          app.start_hotswap("cp", WatchedServer::NEW, WatchedServer::LIVE).tap do |running|
            eventually { expect(running.stderr).to match(/^Waiting for the disk of .*storage: a sync takes longer.* Requests continue\. Giving up in \d+ s\.$/) }
            answered_within(1.5) { expect(app.names).to eq %w[first] }
            expect(running).to be_running
          end
        end

        expect(push.wait).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(app.names).to eq %w[second]
      end

      it "makes the push give up after the timeout if it stays slow: fsync #{file}" do
        syncs
        before = listing
        app.offer("second")
        refused = app.calls.with(sync_of(file), :slow, lasting: true) { app.push("--timeout", "3") }

        expect(refused).to have_attributes(exit_code: 4, stdout: "", stderr: /^ERROR: gave up: the disk of .*storage needs more than half of max_pause .*Nothing was swapped\./)
        expect(app.names).to eq %w[first]
        expect(listing).to eq before
        expect(app.push).to have_attributes(exit_code: 0)
        expect(app.names).to eq %w[second]
      end
    end

    it "is not taken for a write by --if-match" do
      syncs
      identity = app.hotswap("cp", WatchedServer::LIVE, "pulled.sqlite3").stderr[/^identity: (\h{32})$/, 1]
      app.offer("second")
      refused = app.calls.with(sync_of("folder"), :slow, lasting: true) { app.push("--timeout", "3", "--if-match", identity) }

      expect(refused).to have_attributes(exit_code: 4, stderr: /^ERROR: gave up: the disk of /)
      FileUtils.rm_f(app.root.join("pulled.sqlite3"))
    end

    def sync_of(file) = SystemCalls::Step.new("worker", "fsync", file, 1)

    def answered_within(seconds)
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      yield
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began).to be < seconds
    end

    # push/replace.rs, `run`, after the rename.
    it "holds no request after the rename, and the push ends when it has answered" do
      pushing_slowly do |push|
        expect(app.names).to eq %w[second]
        expect(push).to be_running
        expect(push.wait).to have_attributes(exit_code: 0, stdout: "OK\n")
      end
      expect(app.log).not_to match(/killed worker|ended the worker/)
      expect(app.log).to match(/WARN.*in place and in use, but not durable yet/)
    end

    it "makes a push whose worker is killed then say that the new database is in place" do
      pushing_slowly do |push|
        (app.process.members - [app.pid]).each { |worker| Process.kill(:KILL, worker) }
        expect(push.wait).to have_attributes(exit_code: 5, stderr: /^ERROR: the new content is in place, but .*\. A power cut now may bring the old one back/)
      end
      expect(app.names).to eq %w[second]
      app.offer("third")
      expect(app.push).to have_attributes(exit_code: 0)
      expect(app.names).to eq %w[third]
    end

    # Yields a push that waits for the disk after its rename.
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
end
