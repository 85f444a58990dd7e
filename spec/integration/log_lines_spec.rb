# frozen_string_literal: true

RSpec.describe "what is logged" do
  # A swap stands still at its quietest moment for as long as there is a file tmp/hold.
  running_app(initializer: <<~RUBY)
    Rails.application.config.hotswap.max_pause = 10
    Hotswap.on_disconnect { sleep 0.01 while Rails.root.join("tmp/hold").exist? }
  RUBY

  attr_reader :lines_before

  before { @lines_before = app.log.lines.size }

  # What was said since the example began, without what Rails says of requests.
  def log = app.log.lines.drop(lines_before).map(&:chomp).grep_v(/\A(Started|Processing|Completed|  )/)

  def eventually_log(*expected) = eventually { expect(log).to match(expected) }

  def live = "storage/production.sqlite3"

  def renamed = %r{\Arenamed #{app.root}/storage/\.?\S+ → #{app.root.join(live)}\z}

  it "is the life of a push, in its order" do
    file = app.databases.release("logged")
    expect(app.hotswap("cp", file, live)).to have_attributes(exit_code: 0)

    eventually_log(
      "command: cp #{file} #{live}",
      "push started: #{file} → #{live}",
      "received #{File.size(file)} bytes, running integrity check",
      "integrity check passed, acquiring swap lock",
      "swap lock acquired, requests are queued",
      "disconnected ActiveRecord",
      renamed,
      "swap lock released, requests resuming",
      "reconnected ActiveRecord",
      "push complete: #{live}"
    )
  end

  it "is the command as it was given, when the push came through a pipe and named the database by its name" do
    expect(app.hotswap("cp", "--skip-schema-check", "-", "primary", stdin_data: File.binread(app.databases.release("piped"))))
      .to have_attributes(exit_code: 0)

    eventually { log.include?("push complete: #{live}") }
    expect(log.first(2)).to eq ["command: cp - primary", "push started: - → #{live}"]
  end

  it "is the reason when a push is refused, and nothing after it" do
    file = app.databases.corrupt_page
    expect(app.hotswap("cp", file, live)).to have_attributes(exit_code: 3)

    eventually { log.grep(/is damaged/).any? }
    expect(log.first(5)).to match [
      "command: cp #{file} #{live}", "push started: #{file} → #{live}", /\Areceived \d+ bytes, running integrity check\z/,
      "command failed: integrity check failed:", "*** in database main ***"
    ]
    expect(log[5..-2]).to all match(/\A(Tree|Page) /)
  end

  it "is the beginning and the end of a pull" do
    expect(app.hotswap("cp", live, "backup.sqlite3")).to have_attributes(exit_code: 0)

    eventually_log("command: cp #{live} backup.sqlite3", "pull started: #{live} → backup.sqlite3",
      /\Apull complete: #{live} \(\d+ bytes\)\z/)
  end

  it "tells of every request that waits, which is then answered with the new data" do
    app.write("tmp/hold", "")
    pushing = app.start_hotswap("cp", app.databases.release("waited for"), live)
    waiting = %w[/version /items/1].map do |path|
      # The first that come may still pass: the gate closes when whatever was running is done.
      eventually do
        request = Thread.new { app.get(path) }
        eventually(5) { !request.alive? || log.include?("request queued, waiting for swap to complete: GET #{path}") }
        request if request.alive?
      end
    end
    app.root.join("tmp/hold").delete

    expect(waiting.map { |request| request.value.json["version"] }).to eq ["waited for"] * 2
    expect(pushing.wait).to have_attributes(exit_code: 0)
    expect(log).to include("swap complete, resuming request: GET /version", "swap complete, resuming request: GET /items/1")
    expect(log.grep(/\Arequest queued/).size).to eq 2
    expect(log.grep(/\Aswap complete, resuming/).size).to eq 2
  end

  it "is nothing about requests that wait for no swap" do
    5.times { app.get("/version") }

    expect(log).to be_empty
  end

  it "was what is managed, when the server booted" do
    expect(app.log.lines.map(&:chomp).grep(/managing/)).to eq [
      "managing 4 database(s): #{live}, storage/production-queue.sqlite3, storage/production-cache.sqlite3, " \
        "storage/production-errors.sqlite3"
    ]
  end
end
