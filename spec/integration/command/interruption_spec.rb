# frozen_string_literal: true

RSpec.describe "a command that is interrupted", lane: "default" do
  running_app

  let(:live) { "storage/production.sqlite3" }
  let(:data) { File.binread(app.databases.release("never")) }

  before do
    eventually { workers.empty? } # One may linger after its push.
    @logged = app.log.length
  end

  def logged = app.log[@logged..]

  def staged = app.root.glob("storage/.*.staged")

  def workers = app.process.members - [app.pid]

  def expect_all_is_well
    eventually { workers.empty? }
    expect(app.hotswap("cp", app.databases.release("well"), live)).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "well"
  end

  # A push from stdin of which the worker has half.
  def half_a_push
    push = FedCommand.start(app, "cp", "-", live)
    push.write(data[0, 2_000_000])
    eventually { staged.any? && staged.first.size > 1_000_000 }
    push
  end

  {INT: 130, TERM: 143, HUP: 129, KILL: nil}.each do |signal, status|
    it "by SIG#{signal} during a push ends at once and leaves no files" do
      untouched(within: 5) do
        push = half_a_push
        push.kill(signal)

        expect(push.wait(5)).to have_attributes(exit_code: status, stdout: "", stderr: "")
        eventually { staged.empty? && workers.empty? }
      end
      eventually { expect(logged).to include("command failed: the sender ended before all data had arrived") }
      expect(logged).not_to include("received")
    end

    it "by SIG#{signal} during a pull to stdout ends at once and leaves no files" do
      untouched(within: 5) do
        reader, writer = IO.pipe
        pull = app.start_hotswap("cp", live, "-", out: writer)
        writer.close
        expect(reader.readchar).to eq "S"
        pull.kill(signal) # No process reads the rest, so the pull is still running.

        expect(pull.wait(5)).to have_attributes(exit_code: status, stderr: "")
        eventually { workers.empty? }
        reader.close
      end
      eventually { expect(logged).to include("command failed: ").and include("pull started") }
      expect(logged).not_to include("pull complete")
    end
  end

  it "by the death of its sender is refused, at any point of the transfer" do
    [0, 1, 4096, data.bytesize / 2, data.bytesize - 4096, data.bytesize - 1].each do |bytes|
      cut_off = untouched { app.hotswap("cp", "-", live, stdin_data: data[0, bytes]) }

      expect(cut_off).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: .*(truncated|empty|not a database)/)
    end
  end

  it "by the death of the first process of its pipeline is refused" do
    pipe = ["sh", "-c", '{ head -c 2000000 "$0"; kill -KILL $$; } | cat | "$@"', app.databases.release("never"), *HotswapCommand::PROGRAM]
    push = untouched do
      started = app.start_hotswap("cp", "-", live, program: pipe)
      eventually { logged.include?("command failed") }
      started
    end

    expect(push.wait.signal).to eq Signal.list.fetch("KILL")
    expect(push.stderr).to match(/\AERROR: the file is truncated/)
  end

  context "while the worker checks the file" do
    # Its index makes the check take a second or more.
    let(:slow) do
      app.databases.changed("slow.sqlite3", version: "slow") do |db|
        db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -100000")
        db.execute(<<~SQL)
          WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
          INSERT INTO items (name, token) SELECT 'filler', hex(randomblob(8)) FROM n
        SQL
      end
    end

    %i[TERM KILL].each do |signal|
      it "by SIG#{signal} ends the check and swaps nothing" do
        push = untouched(within: 5) do
          started = app.start_hotswap("cp", slow, live)
          eventually { logged.include?("running integrity check") }
          started.kill(signal)
          started.wait(5)
          eventually { workers.empty? && staged.empty? }
          started
        end

        expect(push.wait).to have_attributes(stdout: "", stderr: "")
        eventually { expect(logged).to include("command failed: the client disconnected") }
        expect(logged).not_to include("swap lock acquired")
      end
    end
  end

  it "while it waits for a request swaps nothing, and holds no request" do
    slow = Thread.new { app.get("/slow?t=3") }
    eventually { app.log.include?('GET "/slow?t=3"') }
    push = app.start_hotswap("cp", app.databases.release("waits"), live)
    eventually { logged.include?("acquiring swap lock") }
    push.kill(:TERM)

    expect(push.wait(5)).to have_attributes(exit_code: 143, stdout: "")
    eventually { workers.empty? }
    expect(app.version).not_to eq "waits"
    expect(slow.value.json.fetch("version")).to eq app.version
    eventually { expect(logged).to include("command failed: the client disconnected") }
    expect_all_is_well
  end

  it "by the death of its worker says so, and the next push removes its files" do
    push = half_a_push
    left = staged
    expect(workers.size).to eq 1
    Process.kill(:KILL, *workers)

    untouched(within: 5) do
      result = push.tap { |fed| fed.write(data[2_000_000..]) }.wait
      expect(result).to have_attributes(exit_code: 5, stdout: "", stderr: /\AERROR: the worker was killed before it reported the outcome \(SIGKILL/)
    end
    expect(left).to all(exist)
    expect_all_is_well
    expect(left.map(&:exist?)).to eq [false]
    eventually { expect(logged).to include("removed #{left.first.basename}, left by a push that died") }
  end
end
