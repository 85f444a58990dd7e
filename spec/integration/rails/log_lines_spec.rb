# frozen_string_literal: true

require_relative "../fleet/support/fleet"

RSpec.describe "the log", lane: "default" do
  # A swap stands still at its quietest moment for as long as there is a file tmp/hold.
  running_app(initializer: <<~RUBY)
    Rails.application.config.hotswap.max_pause = 10
    Hotswap.on_disconnect { sleep 0.01 while Rails.root.join("tmp/hold").exist? }
  RUBY

  attr_reader :lines_before

  before { @lines_before = app.log.lines.size }

  # The lines with hotswap's tag since the example began.
  def said = app.log.lines.drop(lines_before).filter_map { |line| line.chomp[/\A\[hotswap\] (.*)/, 1] }

  # Without the lines of each process, whose order is not fixed.
  def log = said.grep_v(/ moved to the new /)

  def eventually_log(*expected) = eventually { expect(log).to match(expected) }

  def live = "storage/production.sqlite3"

  def renamed = %r{\Arenamed #{app.root}/storage/\.?\S+ → #{app.root.join(live)} \(after [\d.]+ ms\)\z}

  # The end of a command's last line: how long it took, and who ran it.
  def in_all_by(command) = /[\d.]+ (?:m?s) in all, by uid #{Process.uid} in #{HotswapCommand.named(command.pid, '\S*ruby\S* .*hotswap cp .*')}/

  it "tells the life of a push, in order" do
    file = app.databases.release("logged")
    push = app.start_hotswap("cp", file, live)
    expect(push.wait).to have_attributes(exit_code: 0)

    eventually_log(
      "command: cp #{file} #{live}",
      "push started: #{file} → #{live}",
      "received #{File.size(file)} bytes, running integrity check",
      "integrity check passed, acquiring swap lock",
      *(/\Awriting in place, because .*, about [\d.]+ s\z/ unless Project.linux?),
      /\Aswap lock acquired, requests are queued \(at \d\d:\d\d:\d\d\.\d{3}\)\z/,
      /\Adisconnected ActiveRecord \(after [\d.]+ ms\)\z/,
      Project.linux? ? renamed : /\Awrote \d+ pages into \S+ \(after [\d.]+ ms\)\z/,
      /\Aswap lock released, requests resuming \(after [\d.]+ ms\)\z/,
      /\Areconnected ActiveRecord \(after [\d.]+ ms\)\z/,
      /\Apush complete: #{live}, #{File.size(file)} bytes, #{HotswapCommand::HOW}, requests held for [\d.]+ ms, #{in_all_by(push)}/
    )
  end

  it "shows the command as it was typed, for a push through a pipe" do
    way = "--in-place=#{Project.linux? ? "never" : "always"}"
    push = app.start_hotswap("cp", "--skip-schema-check", "-", "primary", way, stdin_data: File.binread(app.databases.release("piped")))
    expect(push.wait).to have_attributes(exit_code: 0)

    eventually { log.grep(/push complete/).any? }
    expect(log.first(2)).to eq ["command: cp - primary --skip-schema-check #{way}", "push started: - → #{live}"]
    expect(log.grep(/push complete/)).to match [/, --skip-schema-check, #{way}, #{in_all_by(push)}/]
  end

  it "says that the integrity check was skipped" do
    expect(app.hotswap("cp", "--skip-integrity-check", app.databases.release("unchecked"), live)).to have_attributes(exit_code: 0)

    eventually { log.grep(/push complete/).any? }
    expect(log.grep(/integrity/)).to match [
      /\Acommand: .* --skip-integrity-check\z/, /\Areceived \d+ bytes, integrity check skipped\z/,
      "integrity check skipped, acquiring swap lock", /\Apush complete: .* --skip-integrity-check/
    ]
  end

  it "ends with the reason in one line if a push is refused" do
    file = app.databases.corrupt_page
    push = app.start_hotswap("cp", file, live)
    expect(push.wait).to have_attributes(exit_code: 3)

    eventually_log("command: cp #{file} #{live}", "push started: #{file} → #{live}", /\Areceived \d+ bytes, running integrity check\z/,
      /\Acommand failed: integrity check failed: \| \*\*\* in database main \*\*\* \| .* \(#{in_all_by(push)}/)
  end

  it "has one line for any schema difference" do
    other = app.databases.other_schema
    expect(app.hotswap("cp", other, live)).to have_attributes(exit_code: 3)

    eventually { log.grep(/\Acommand failed: schema mismatch: .* in process/).one? }
    expect(app.log.lines.drop(lines_before).grep(/^[-+] CREATE/)).to eq []
  end

  it "shows the beginning and the end of a pull" do
    pull = app.start_hotswap("cp", live, "backup.sqlite3")
    expect(pull.wait).to have_attributes(exit_code: 0)

    eventually_log("command: cp #{live} backup.sqlite3", "pull started: #{live} → backup.sqlite3",
      /\Apull complete: #{live} \(\d+ bytes\), #{in_all_by(pull)}/)
  end

  it "names every request that waits for a swap and then reads the new data" do
    app.write("tmp/hold", "")
    pushing = app.start_hotswap("cp", app.databases.release("waited for"), live)
    waiting = %w[/version /items/1].map do |path|
      # The first requests may still pass: the gate closes when the running ones are done.
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

  it "says nothing about requests that do not wait" do
    5.times { app.get("/version") }

    expect(said).to be_empty
  end

  it "lists the managed databases at boot" do
    expect(app.log.lines.map(&:chomp).grep(/managing/)).to eq [
      "[hotswap] managing 4 database(s): #{live}, storage/production-queue.sqlite3, storage/production-cache.sqlite3, " \
        "storage/production-errors.sqlite3"
    ]
  end
end

RSpec.describe "the log of each process in a cluster", :fleet, lane: "default" do
  running_app(workers: 2, preload: false)

  def moved = app.log.scan(/^\[hotswap\] process (\d+) moved to the new \S+; its requests were held for [\d.]+ ms$/).flatten.map(&:to_i)

  it "has one line for each swap of the process" do
    expect_all_on(app, app.version, processes: 2)
    members = member_pids(app)
    expect(app.hotswap("cp", app.databases.release("everywhere"), "primary")).to have_attributes(exit_code: 0)

    eventually { expect(moved).to match_array(members) }
  end

  it "says that it took over the socket of a process that has ended" do
    expect_all_on(app, app.version, processes: 2)
    first = eventually(20) { leader_pid(app) }
    expect(app.log).to match(/^\[hotswap\] process #{first} listens on #{app.root.realpath}\S*hotswap\.sock$/)
    Process.kill(:KILL, first)

    successor = eventually(20) { leader_pid(app)&.then { |pid| pid unless pid == first } }
    eventually { app.log.match?(/^\[hotswap\] process #{successor} listens on \S*hotswap\.sock, since the process that did has ended$/) }
  end
end
