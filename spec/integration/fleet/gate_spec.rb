# frozen_string_literal: true

require_relative "../../../demo/visitors"

RSpec.describe "a running application" do
  running_app

  def push(version) = app.start_hotswap("cp", app.databases.release(version), app.database_path)

  # A request in a thread of its own, once the application has begun with it.
  def begun(path)
    before = begun_count(path)
    Thread.new { app.get(path) }.tap { eventually { begun_count(path) > before } }
  end

  def begun_count(path) = app.log.scan(%(Started GET "#{path}")).size

  it "runs five slow requests at the same time" do
    started = Eventually.now
    answers = Array.new(5) { Thread.new { app.get("/slow?t=1").status } }.map(&:value)

    expect(answers).to eq [200] * 5
    # One at a time they would take five seconds.
    expect(Eventually.now - started).to be < 3
  end

  it "lets a slow request finish on the old database, while other requests continue, before it swaps", :quiet do
    old = app.version
    visitors = Visitors.spawn(port: app.port, gets_per_second: 30, posts_per_second: 10)
    slow = begun("/slow?t=4")
    pushing = push("after a slow request")
    pushed = pushing.wait

    expect(pushed).to have_attributes(stdout: "OK\n", exit_code: 0)
    expect(slow.join(2).value.json["version"]).to eq old
    expect(app.version).to eq "after a slow request"
    report = visitors.finish
    expect(report.failure_counts).to be_empty
    # If they waited for the slow request, some would take more than three seconds.
    expect(report.max_latency).to be < 0.5 + 1
  end

  {
    "a streamed body" => "/stream?t=2&n=20",
    "an ActionController::Live action" => "/live?t=2&n=20"
  }.each do |what, path|
    it "lets #{what} send its last line from the old database before it swaps" do
      old = app.version
      arrived = Queue.new
      waiting = []
      pushing = nil
      lines = Thread.new do
        Streams.read_lines(app.port, path) do |line|
          arrived << line
          waiting << (pushing.nil? || pushing.running?)
        end
      end
      arrived.pop(timeout: 10)
      pushing = push("after #{what}")

      expect(pushing.wait).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(lines.value.map { |line| JSON.parse(line)["version"] }).to eq [old] * 20
      # We may read the last of them a little after the server wrote them.
      expect(waiting[..-3]).to all be true
      expect(app.version).to eq "after #{what}"
    end
  end

  it "swaps under constant load, and every request sees the old or the new database" do
    old = app.version
    visitors = Visitors.spawn(port: app.port, gets_per_second: 60, posts_per_second: 20)
    5.times { |n| expect(push("v#{n}").wait).to have_attributes(exit_code: 0) }
    report = visitors.finish

    expect(report.failure_counts).to be_empty
    expect(report.versions.keys - [old, *Array.new(5) { |n| "v#{n}" }]).to be_empty
    expect(report.versions.keys).to include("v4").or include("v3")
  end
end
