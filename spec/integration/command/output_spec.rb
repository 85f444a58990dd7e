# frozen_string_literal: true

RSpec.describe "the output of the command", lane: "default" do
  running_app

  let(:live) { "storage/production.sqlite3" }

  it "says on stderr that it is swapping, and on stdout OK when it has swapped" do
    pushed = app.hotswap("cp", app.databases.release("v2"), live)

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: HotswapCommand::SWAPPED)
  end

  it "says OK on stderr after a pull to a file" do
    pulled = app.hotswap("cp", live, "pulled.sqlite3")

    expect(pulled).to have_attributes(exit_code: 0, stdout: "", stderr: HotswapCommand::PULLED)
  end

  it "is empty with --quiet or -q if the command succeeds" do
    %w[--quiet -q].each do |quiet|
      expect(app.hotswap("cp", quiet, app.databases.release("quiet#{quiet}"), live)).to have_attributes(exit_code: 0, stdout: "", stderr: "")
      expect(app.version).to eq "quiet#{quiet}"
      expect(app.hotswap("cp", live, "quiet.sqlite3", quiet)).to have_attributes(exit_code: 0, stdout: "", stderr: "")
    end
  end

  it "has the error with --quiet" do
    refused = untouched { app.hotswap("cp", "--quiet", app.databases.garbage, live) }

    expect(refused).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: .*not a database/)
  end

  it "is one line of JSON with --json, also for a failure" do
    release = app.databases.release("json")
    pushed = app.hotswap("cp", "--json", "--label", "build 7", release, live)
    refused = app.hotswap("cp", "--json", app.databases.garbage, live)
    pulled = app.hotswap("cp", "--json", live, "-")

    expect(JSON.parse(pushed.stdout)).to include("command" => "push", "database" => live, "bytes" => File.size(release), "way" => HotswapCommand::BY, "held_ms" => be > 0, "exit_status" => 0)
    expect(app.log.lines.grep(/push complete/).last).to include("--label=build 7")
    expect(JSON.parse(refused.stdout)).to match("exit_status" => 3, "error" => /not a database/)
    expect(JSON.parse(pulled.stderr)).to include("command" => "pull", "bytes" => pulled.stdout.bytesize)
  end

  it "is the database and nothing else in a pull to -" do
    pulled = app.hotswap("cp", live, "-")

    expect(pulled).to have_attributes(exit_code: 0, stderr: HotswapCommand::STREAMED)
    copy = app.root.join("stdout.sqlite3").tap { |file| file.binwrite(pulled.stdout) }
    expect(TestDatabase.integrity(copy)).to eq "ok"
    expect(TestDatabase.content(copy)).to eq TestDatabase.content(app.database_path)
  end

  it "may be closed before the OK" do
    reader, writer = IO.pipe
    reader.close
    pushed = app.hotswap("cp", app.databases.release("unread"), live, out: writer)

    expect(pushed).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
    expect(app.version).to eq "unread"
  ensure
    writer.close
  end

  it "says how to push if stdin is a terminal" do
    Terminal.open do |slave, _|
      refused = untouched { app.hotswap("cp", "-", live, in: slave) }

      expect(refused).to have_attributes(exit_code: 2, stdout: "")
      expect(refused.stderr).to match(/\AERROR: standard input is a terminal\. .*\| hotswap cp - .*without -t/)
    end
  end

  it "says how to pull if stdout is a terminal" do
    Terminal.open do |slave, shown|
      refused = app.hotswap("cp", live, "-", out: slave)

      expect(refused).to have_attributes(exit_code: 2)
      expect(refused.stderr).to match(/\AERROR: standard output is a terminal\. .*> .*without -t/)
      slave.close
      expect(shown).to eq ""
    end
  end

  it "ends quietly if the reader closes the pipe early, as in `| head -c 10`" do
    reader, writer = IO.pipe
    pull = app.start_hotswap("cp", live, "-", out: writer)
    writer.close
    expect(reader.read(10)).to eq "SQLite for"
    reader.close

    expect(pull.wait).to have_attributes(exit_code: 128 + Signal.list.fetch("PIPE"), stderr: "")
    # Without a descriptor of its own, the worker sees only that the client has ended.
    said = Project.linux? ? "the program that read standard output has ended (" : "the connection broke: "
    eventually { expect(app.log.lines.last).to start_with "[hotswap] command failed: #{said}" }
    eventually { app.process.members == [app.pid] }
  end

  it "has the error if stdout is full" do
    pulled = app.hotswap("cp", live, "-", out: "/dev/full")

    expect(pulled.exit_code).to eq 5
    expect(pulled.stderr).to match(/\AERROR: cannot write to standard output: No space left on device/)
  end

  it "shows the progress of a long command, only on a terminal and not with --quiet" do
    Terminal.open do |slave, shown|
      Terminal.open do |quiet_slave, shown_quietly|
        refused = untouched do
          push_until(-> { shown.include?("B/s") }, [[], {}], [["--quiet"], {err: quiet_slave}], [[], {err: slave}])
        end
        eventually { [shown, shown_quietly].all? { |text| text.include?("ERROR") } }

        expect(refused).to all(have_attributes(exit_code: 3, stdout: ""))
        expect(shown).to match(/sending.*MiB/m).and match(/ERROR: [^\r\n]*truncated/)
        # One shape from the first frame on, and no rate that nothing could have.
        frames = shown.scan(/[^\r\n]*\d [KMG]?i?B[^\r\n]*/).map { |frame| frame.gsub(/\e\[[\d;?]*\w/, "").strip }
        expect(frames).to all(match(%r{\Asending [\d.]+ [KMG]?i?B( [\d.]+ [KMG]?i?B/s)?\z}))
        expect(shown_quietly).to match(/\AERROR: [^\r\n]*truncated[^\r\n]*\r\n\z/)
        expect(refused.first.stderr).to match(/\AERROR: [^\r\n]*truncated[^\r\n]*\n\z/)
      end
    end
  end

  # Several pushes of zeros side by side, kept going for as long as it takes. The header before them does not say
  # how long the file is.
  def push_until(enough, *ways)
    pushes = ways.map { |flags, streams| FedCommand.start(app, "cp", "-", live, *flags, env: {"TERM" => "xterm"}, **streams) }
    header = File.binread(app.databases.release("header"), 92) + "\0" * 8
    pushes.each { |push| push.write(header) }
    eventually(20) do
      pushes.each { |push| push.write("\0" * 1_048_576) }
      enough.call
    end
    pushes.each(&:close).map(&:wait)
  ensure
    pushes.each(&:close)
  end
end
