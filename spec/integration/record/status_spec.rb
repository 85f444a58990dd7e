# frozen_string_literal: true

RSpec.describe "hotswap status", lane: "default" do
  running_app(workers: 2)

  let(:live) { app.database_path }

  def status(*arguments) = app.hotswap("status", "--json", *arguments, timeout: 10).then { |answer| [answer, (JSON.parse(answer.stdout) if answer.success?)] }

  def of(name, *arguments) = status(*arguments).last.fetch("databases").find { |database| database["name"] == name }

  # What a member holds, as far as the system tells.
  let(:holds) { Project.linux? ? %w[membership file] : %w[membership] }

  before { app.version }

  it "reports each database, its file, and the processes that have it open with their roles" do
    answer, report = status
    expect(answer).to have_attributes(exit_code: 0, stderr: "")
    expect(report).to include("version" => Hotswap::VERSION, "server" => Integer)
    expect(report.fetch("databases").map { |database| database["name"] }).to include("primary", "queue")

    primary = of("primary")
    expect(primary).to include("database" => "storage/production.sqlite3", "path" => File.realpath(live), "exists" => true,
      "bytes" => File.size(live), "journal_mode" => "wal", "schema_version" => /\A\d+\z/, "elsewhere" => false, "commands" => [], "previous" => Array)
    # Each worker opens the file with its first request that needs it.
    web = eventually do
      app.version
      found = of("primary").fetch("processes").select { |process| process["holds"] == holds }
      found if found.size == app.worker_pids.size
    end
    expect(web.map { |process| process["pid"] }).to match_array app.worker_pids
    expect(web).to all include(Project.linux? ? {"role" => "web", "command" => /puma: cluster worker/} : {"role" => "other", "command" => ""})
  end

  it "shows the last push" do
    app.hotswap("cp", app.databases.release("v2"), live, "--label=v2")

    report = of("primary", "primary")
    expect(report.fetch("last_push")).to include("event" => "push", "label" => "v2", "held_ms" => Float, "who" => /\Auid/)
    expect(report.fetch("previous")).to match [include("number" => 1, "path" => "#{File.realpath(live)}.previous", "bytes" => Integer)]
  end

  it "shows a program from outside that has the file open", :linux do
    stranger = Stranger.ruby(live)
    stranger.ask("SELECT 1 FROM sqlite_schema")

    expect(of("primary", "primary").fetch("processes")).to include(include("pid" => stranger.pid, "holds" => %w[file]))
  ensure
    stranger&.stop
  end

  it "shows a push that runs: its phase and how much of it is done, and does not delay it" do
    reader, writer = IO.pipe
    push = app.start_hotswap("cp", "-", live, "--label=slow", in: reader)
    reader.close
    # If the client reads the pipe, it sends a megabyte at a time.
    file = File.binread(app.databases.of_size(4, version: "slow"))
    # Its progress is published ten times a second at most.
    feeding = Thread.new { 20.times { |n| writer.write(file[n * 100_000, 100_000]) && sleep(0.05) } }
    running = eventually { of("primary")["commands"].first&.then { |command| command if command["done"] } }
    expect(running).to include("command" => "push", "phase" => "sending", "from" => "-", "label" => "slow", "pid" => Integer, "began" => /\A20\d\d-.*Z\z/)
    expect(running["done"]).to be_between(1, 2_000_000)
    worker = of("primary").fetch("processes").find { |process| process["pid"] == running["pid"] }
    expect(worker).to(be_nil.or(include("role" => "hotswap")))

    feeding.join
    writer.write(file[2_000_000..])
    writer.close
    expect(push.wait).to have_attributes(exit_code: 0)
    expect(of("primary")["commands"]).to eq []
  end

  it "shows that a swap waits for a request" do
    request = Thread.new { app.get("/slow?t=5") }
    sleep 0.5
    push = app.start_hotswap("cp", app.databases.release("waits"), live)
    expect(eventually { of("primary")["commands"].find { |command| command["phase"] == "waiting for requests" } }).to include("command" => "push")
    request.join
    expect(push.wait).to have_attributes(exit_code: 0)
  end

  it "prints a page for people, and again every second with --watch" do
    process = Project.linux? ? 'web \d+ \(puma: .*\): takes part in swaps, has the file open' : 'process \d+: takes part in swaps'
    expect(app.hotswap("status", "queue").stdout).to match(/\A\S+queue\.sqlite3 \(queue\): .*journal mode wal.*\n  last push: none\n(  #{process}\n)*\nServed by process \d+\.\n\z/)

    reader, writer = IO.pipe
    watching = app.start_hotswap("status", "--json", "--watch", out: writer)
    writer.close
    expect(Array.new(2) { JSON.parse(reader.gets).fetch("databases").size }.uniq.size).to eq 1
    watching.kill(:INT)
    expect(watching.wait.exit_code).to eq 130
  end

  it "says which databases there are if it does not know one" do
    expect(app.hotswap("status", "nothing")).to have_attributes(exit_code: 2, stderr: /\AERROR: nothing is not a managed database\. The managed databases are storage\/production\.sqlite3, .*cache/, stdout: "")
    expect(JSON.parse(app.hotswap("status", "nothing", "--json").stdout)).to include("exit_status" => 2, "error" => /not a managed/)
  end

  it "leaves no files, and does not touch the fence" do
    before = app.root.join("storage").children.to_h { |file| [file, file.mtime] }.reject { |file, _| file.to_s.end_with?("-shm") }
    status
    after = app.root.join("storage").children.to_h { |file| [file, file.mtime] }.reject { |file, _| file.to_s.end_with?("-shm") }
    expect(after).to eq before
  end

  describe "hotswap log" do
    it "prints the record: a line for each command, the newest last, or the raw lines with --json" do
      app.hotswap("cp", app.databases.release("v3"), live, "--label=v3")
      app.hotswap("cp", "queue", "pulled.sqlite3")
      lines = app.hotswap("log").stdout.lines
      expect(lines.last(2)).to match [/\A20\S+Z  push      storage\/production\.sqlite3, \d+ bytes, #{HotswapCommand::HOW}, requests held for \d+\.\d ms, from .*, label v3, by uid/o,
        /\A20\S+Z  pull      storage\/production-queue\.sqlite3, \d+ bytes, to pulled\.sqlite3/]
      expect(app.hotswap("log", "-n", "1", "primary").stdout.lines).to eq lines[-2, 1]
      expect(app.hotswap("log", "--json", "primary").stdout.b).to eq File.binread("#{live}.hotswap.log")
    end
  end
end
