# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "restarts around swaps", :fleet, :unhurried do
  let(:generations) { Generations.new(app) }

  def booted(app) = app.log.scan(/- Worker \d+ \(PID: \d+\) booted/).size

  # Requests that died with their process do not count.
  def broken(verdict) = verdict.broken.reject { |what| what.match?(/failed/) }

  # What a worker had accepted is lost when it hangs (see PumaServer#end_workers).
  def hung(app) = app.log.scan(/Stopping (\d+) for phased upgrade/).tally.count { |_, times| times > 1 }

  # Those whose connection a worker had taken, and not read yet, when it was to end: Puma closes it, with or without
  # this gem, and a visitor on a busy machine may well be slow between the two.
  def unread(verdict, app) = verdict.visits.size - app.log.scan(%r{Started (?:GET "/items/1"|POST "/items") }).size

  context "with a cluster that does not preload" do
    let(:app) { boot_app(workers: 2, preload: false) }

    it "can have a phased restart before, during and after swaps" do
      expect_all_on(app, "v1", processes: 2)
      old = worker_pids(app)

      verdict = visited(app, generations) do
        2.times do |n|
          app.process.signal(:USR1)
          swap(generations, 1) until booted(app) >= 2 * (n + 2)
        end
        swap(generations, 2)
      end

      expect(broken(verdict)).to eq []
      expect(verdict.failed.size - unread(verdict, app)).to be <= hung(app)
      expect(worker_pids(app) & old).to eq []
      expect_all_on(app, generations.live, processes: 2)
      expect(app.pids).to include(leader_pid(app))
    end
  end

  context "with fork_worker" do
    let(:app) do
      boot_app(workers: 2, preload: false) do |server|
        server.write("config/puma.rb", "#{server.root.join("config/puma.rb").read}\nfork_worker 0\n")
      end
    end

    it "can refork workers before and during swaps" do
      expect_all_on(app, "v1", processes: 2)
      swap(generations, 1)

      verdict = visited(app, generations) do
        before = booted(app)
        app.process.signal(:URG)
        swap(generations, 1) until booted(app) > before
        swap(generations, 2)
      end

      # Puma drops a connection that a worker has taken, and not read, when it replaces the worker in the middle
      # of a refork. What was answered has to be right.
      expect(verdict.broken.grep_v(/empty answer|requests failed/)).to eq []
      expect_all_on(app, generations.live, processes: 2)
    end
  end

  [true, false].each do |preload|
    context "with a cluster that #{preload ? "preloads" : "does not preload"}" do
      let(:app) { boot_app(workers: 2, preload: preload) }

      it "keep the pid in a hot restart, and the next swap moves the new processes" do
        expect_all_on(app, "v1", processes: 2)
        swap(generations, 1)
        2.times do |n|
          old = worker_pids(app)
          app.process.signal(:USR2)
          app.end_workers(old)
          eventually(30) { app.log.scan("Puma starting in cluster mode").size == n + 2 && booted(app) >= 2 * (n + 2) }
          eventually(20) { app.answers? && leader_pid(app) }

          verdict = visited(app, generations) { swap(generations, 2) }

          expect(verdict.broken).to eq []
        end
        expect_all_on(app, generations.live, processes: 2)
      end

      it "make no difference to swaps if workers are killed, added and removed" do
        expect_all_on(app, "v1", processes: 2)

        verdict = visited(app, generations) do
          %i[TERM KILL].each do |signal|
            Process.kill(signal, worker_pids(app).first)
            2.times { swap_sooner_or_later(generations) }
          end
          app.process.signal(:TTIN)
          swap(generations, 1) until worker_pids(app).size == 3
          swap(generations, 1)
          app.process.signal(:TTOU)
          swap(generations, 1) until worker_pids(app).size == 2
          swap(generations, 1)
        end

        expect(broken(verdict)).to eq []
        # The requests of two workers with five threads each.
        expect(verdict.failed.size - unread(verdict, app)).to be <= 10
        expect_all_on(app, generations.live, processes: 2)
        expect_nothing_left(app)
      end
    end
  end

  context "in a rolling deploy" do
    let(:app) { boot_app(workers: 2) }

    # The next release of the application: same databases, another process tree.
    def next_release(socket)
      other = AppServer.new(workers: 1, initializer: "Rails.application.config.hotswap.socket_path = #{socket.dump}")
      other.send(:set_up) do |server|
        FileUtils.rm_rf(server.root.join("storage"))
        File.symlink(app.root.join("storage"), server.root.join("storage"))
      end
      (@servers_of_this_example ||= []).unshift(other)
      def other.stray_files = []
      other
    end

    it "move both generations with a push through either socket" do
      expect_all_on(app, "v1", processes: 2)
      other = next_release("tmp/sockets/hotswap.sock")
      expect_all_on(other, "v1", processes: 1)

      verdict = visited(app, generations) do
        2.times do
          swap(generations, 1)
          expect(other.version).to eq generations.live
          version = "from-#{generations.live}"
          file = generations.watching_the_file(version) { other.hotswap("cp", other.databases.release(version), "storage/production.sqlite3") }
          expect(file.result).to have_attributes(exit_code: 0), file.result.stderr
          expect(other.version).to eq version
        end
      end

      expect(verdict.broken).to eq []
      expect_all_on(app, generations.live, processes: 2)
    end

    it "hand one socket over from the old generation to the new one" do
      expect_all_on(app, "v1", processes: 2)
      other = next_release(app.socket_path)
      swap(generations, 1)
      expect(other.version).to eq generations.live
      expect(app.pids).to include(leader_pid(app))

      app.stop
      eventually(20) { other.pids.include?(leader_pid(app)) && File.socket?(app.socket_path) }

      push = generations.push
      expect(push.result).to have_attributes(exit_code: 0), push.result.stderr
      expect(other.version).to eq generations.live
      # A server that hangs (ServerProcess::PATIENCE) cannot remove its sockets, which are in the other's folder here.
      FileUtils.rm_f([app.socket_path, app.stderr_socket_path]) if other.stop == :killed
    end
  end
end
