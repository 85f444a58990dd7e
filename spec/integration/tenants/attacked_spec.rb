# frozen_string_literal: true

# What happens to a push of one tenant while its gate is closed, and what the requests of another tenant notice of it.
RSpec.describe "a push to one tenant that goes wrong", :unhurried, lane: "default" do
  include Writers

  running_app(Tenants, workers: 2, initializer: <<~RUBY)
    Rails.application.config.hotswap.timeout = 4
    # Keeps the gate of the database closed for a moment, and says so.
    Hotswap.on_disconnect do |database|
      closed = Rails.root.join("tmp/closed")
      sleep 0.1 if database.path.include?("beta") && closed.exist? && closed.write("now")
    end
  RUBY

  let(:beta) { "storage/tenants/beta/main.sqlite3" }
  let(:closed) { app.root.join("tmp/closed") }

  before do
    %w[acme beta].each { |tenant| Array.new(12) { Thread.new { app.notes(tenant) } }.each(&:join) }
    push("ready")
  end

  after { FileUtils.rm_f(closed) }

  def push(note, *options) = app.hotswap("cp", *options, app.notes_file(note, note), beta)

  # Pushes, and calls the block with the pid of the worker as soon as the gate of the database is closed.
  def attacked_push(note)
    # The worker of an earlier push may still be ending.
    eventually { workers.empty? }
    closed.write("")
    pushing = Thread.new { push(note) }
    eventually { closed.read == "now" }
    yield workers.first
    pushing.value.tap { FileUtils.rm_f(closed) }
  end

  def workers = app.process.members.select { |pid| ServerProcess.command_line(pid).start_with?("hotswap worker") }

  def kill(pid)
    Process.kill(:KILL, pid)
  rescue Errno::ESRCH
    nil # it has ended
  end

  def stop(pid)
    Process.kill(:STOP, pid)
    Thread.new do
      sleep 2
      Process.kill(:CONT, pid)
    rescue Errno::ESRCH
      nil # it was killed meanwhile
    end
  end

  # The longest time that a request of this tenant waited while the block ran, in seconds. A request whose process is
  # killed does not count.
  def longest_wait(tenant)
    waits = Queue.new
    ask = lambda do |_, _|
      since = Eventually.now
      app.notes(tenant) && waits << (Eventually.now - since)
    rescue SystemCallError, EOFError, Net::ReadTimeout
      nil
    end
    beside_writers(ask, count: 2) { yield }
    Array.new(waits.size) { waits.pop }.max
  end

  # What every process shows, and that it can be written to.
  def settled
    shown = Array.new(8) { app.notes("beta") }.uniq
    expect(shown.size).to eq 1
    expect(app.post("/tenants/beta", text: "more").status).to eq 201
    expect(Array.new(8) { app.notes("beta") }.uniq).to eq ["#{shown.first},more"]
    shown.first
  end

  it "is over at once if its worker is killed" do
    pushed = nil
    expect(longest_wait("acme") { pushed = attacked_push("killed") { |worker| Process.kill(:KILL, worker) } }).to be < 0.5
    expect(pushed.exit_code).to eq 5
    expect(settled).to eq "ready"
    expect(push("next")).to have_attributes(exit_code: 0)
    expect(settled).to eq "next"
  end

  it "leaves the old or the new database if its worker is killed at any moment, and holds no other tenant" do
    eventually { workers.empty? }
    pushing = Thread.new { push("whole") }
    eventually(every: 0.001) { workers.any? }
    since = Eventually.now
    expect(pushing.value).to have_attributes(exit_code: 0)
    lifetime, live, ended = Eventually.now - since, settled, []
    waited = longest_wait("acme") do
      16.times do |number|
        eventually { workers.empty? }
        pushing = Thread.new { push("kill #{number}") }
        worker = eventually(every: 0.001) { workers.first }
        sleep lifetime * number / 16
        kill(worker)
        ended << pushing.value.exit_code
        before, live = live, settled
        expect(ended.last.zero? ? ["kill #{number}"] : ["kill #{number}", "#{before},more"]).to include(live)
      end
    end
    expect(ended.uniq).to contain_exactly(0, 5).or eq [5]
    expect(waited).to be < 0.5
  end

  it "holds no other tenant if its worker is stopped, and is over after max_pause" do
    pushed = held = nil
    other = longest_wait("acme") { held = longest_wait("beta") { pushed = attacked_push("stopped") { |worker| stop(worker) } } }
    expect(other).to be < 0.5
    expect(held).to be < 1.8
    expect(settled).to eq(pushed.exit_code.zero? ? "stopped" : "ready")
  end

  it "goes on if a process of the application is killed" do
    pushed = nil
    waited = longest_wait("acme") do
      pushed = attacked_push("without one") { Process.kill(:KILL, app.process.members.find { |pid| ServerProcess.command_line(pid).include?("cluster worker 0") }) }
    end
    expect(waited).to be < 2
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    expect(settled).to eq "without one"
  end

  it "gives up on a process that is stopped, and holds no other tenant in the other process" do
    stopped = app.process.members.find { |pid| ServerProcess.command_line(pid).include?("cluster worker 1") }
    Process.kill(:STOP, stopped)
    pushed = push("never", "--timeout", "2")
    expect(pushed).to have_attributes(exit_code: 4, stderr: /process #{stopped} .*#{"is stopped, and " if Project.linux?}holds the database/)
    expect(longest_wait("acme") { push("never", "--timeout", "1") }).to be < 0.5
  ensure
    Process.kill(:CONT, stopped)
    expect(settled).to eq "ready"
  end

  it "is rolled back, and replaces only some tables, beside requests of both tenants" do
    expect(longest_wait("acme") do
      expect(push("first")).to have_attributes(exit_code: 0)
      expect(app.hotswap("rollback", beta)).to have_attributes(exit_code: 0)
      expect(settled).to eq "ready"
      some = push("some", "--only", "notes")
      expect(some).to have_attributes(exit_code: 0), some.stderr
      expect(Array.new(8) { app.notes("beta") }.uniq).to eq ["some"]
      expect(app.hotswap("rollback", beta)).to have_attributes(exit_code: 0)
    end).to be < 0.5
    expect(app.notes("beta")).to eq "ready,more"
  end

  it "moves a child that a process has forked with the tenant open" do
    expect(app.get("/tenants/beta/forked").body).to eq "ready"
    expect(push("forked")).to have_attributes(exit_code: 0)
    app.root.join("tmp/go").write("")
    eventually { app.root.join("tmp/child").exist? }
    expect(app.root.join("tmp/child").read).to eq "forked"
    expect(settled).to eq "forked"
  end

  it "waits for a job that uses the tenant, and not for one that uses another" do
    app.get("/tenants/acme/job?seconds=3")
    eventually { app.log.include?("Performing HoldJob") }
    since = Eventually.now
    expect(push("beside")).to have_attributes(exit_code: 0)
    expect(Eventually.now - since).to be < 2.5
    app.get("/tenants/beta/job?seconds=3")
    eventually { app.log.scan("Performing HoldJob").size == 2 }
    expect(push("late", "--timeout", "1")).to have_attributes(exit_code: 4, stderr: /HoldJob/)
  end
end
