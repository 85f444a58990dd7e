# frozen_string_literal: true

# push/dry_run.rs
RSpec.describe "hotswap cp --dry-run", lane: "default" do
  running_app(ItemsServer, settings: "config.timeout = 3")

  let(:pragmas) { "PRAGMA user_version = 7; PRAGMA application_id = 42" }

  before { @version = app.version }

  def new_file(schema = ItemsServer::SCHEMA, items: %w[new newer])
    app.file("files/new.sqlite3", "#{schema}; #{pragmas}", items)
  end

  def dry_run(file, *flags) = app.hotswap("cp", file, "database", "--dry-run", *flags)

  def json(file, *flags)
    result = dry_run(file, "--json", *flags)
    JSON.parse(result.stdout).tap { |report| expect(report["exit_status"]).to eq result.exit_code }
  end

  # Nothing has moved: neither the file, nor a gate, nor the record.
  def nothing_moves
    state = -> { [File.stat(app.database_path).ino, app.version, app.stray_files, app.hotswap("cp", "database", "-").stderr, record.scan(/"event":"(?!pull)/).size] }
    before, log = state.call, app.log.length
    yield.tap do
      expect(state.call).to eq before
      expect(app.log[log..]).not_to match(/swap lock|push complete|after 0 ms/)
    end
  end

  def record
    path = "#{app.database_path}.hotswap.log"
    File.exist?(path) ? File.read(path) : ""
  end

  it "reports what a push would do, and swaps nothing" do
    expect(app.hotswap("cp", app.file("files/old.sqlite3", ItemsServer::SCHEMA, %w[old]), "database")).to have_attributes(exit_code: 0)
    report = nothing_moves { json(new_file) }

    expect(report).to include("command" => "push", "database" => "storage/app.sqlite3", "bytes" => File.size(new_file), "exit_status" => 0)
    expect(report["dry_run"]).to match(
      **(Project.linux? ? {"way" => "rename"} : {"way" => "in_place", "why" => /could be open/}), "pause_ms" => be_between(0.1, 3000), "drain_ms" => be_between(0, 3000), "integrity" => "passed", "schema_difference" => "",
      "live" => {"bytes" => 8192, "page_size" => 4096, "journal_mode" => "wal", "application_id" => 0, "user_version" => 0},
      "file" => {"bytes" => 8192, "page_size" => 4096, "journal_mode" => "rollback", "application_id" => 42, "user_version" => 7},
      "rows" => {"items" => {"before" => 1, "after" => 2}}, "warnings" => [],
      "processes" => [{"pid" => app.pid}.merge(Project.linux? ? {"role" => "web", "command" => start_with("puma")} : {"role" => "other", "command" => ""})]
    )
  end

  it "prints a table for people on standard output" do
    result = nothing_moves { dry_run(new_file) }

    expect(result).to have_attributes(exit_code: 0)
    expect(result.stdout).to start_with("Nothing was swapped. A push would do this:\n\ndatabase        storage/app.sqlite3\nway             #{Project.linux? ? "rename" : "in place, because"}")
    expect(result.stdout).to match(/^schema          the same\ntakes part      #{Project.linux? ? "web #{app.pid} \\(puma .*" : "process #{app.pid}"}\n\n +live +file\nbytes +8192 +8192\n(.*\n)*user_version +0 +7\n\nrows\n  items +\d+ +2\n\z/)
    expect(result.stdout).not_to include("OK")
  end

  it "measures how long the running requests take to end, and gives up like a push" do
    FileUtils.rm_f(%w[go-on waits].map { |name| app.root.join(name) })
    waiting = Thread.new { app.get("/wait") }
    eventually { app.root.join("waits").exist? }
    busy = nothing_moves_but_versions { dry_run(new_file) }
    expect(busy).to have_attributes(exit_code: 4, stderr: /GET \/wait/)
    push = app.start_hotswap("cp", new_file, "database", "--dry-run", "--json")
    eventually { push.stderr.include?("Waiting for") }
    sleep 0.2
    FileUtils.touch(app.root.join("go-on"))
    expect(JSON.parse(push.wait.stdout)["dry_run"]["drain_ms"]).to be > 200
    waiting.join
  end

  # The only thread of the server is busy.
  def nothing_moves_but_versions
    inode = File.stat(app.database_path).ino
    yield.tap { expect(File.stat(app.database_path).ino).to eq inode }
  end

  it "shows all differences between the schemas, and fails as the push would" do
    file = new_file("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL); CREATE TABLE more (a); CREATE INDEX by_name ON items (name)")
    difference = /^- CREATE TABLE items .*^\+ CREATE TABLE items .*^\+ CREATE TABLE more.*^\+ CREATE INDEX by_name.*^only in the file: /m
    [[3, []], [0, ["--skip-schema-check"]]].each do |status, flags|
      report = nothing_moves { json(file, *flags) }
      expect(report["exit_status"]).to eq status
      expect(report["dry_run"]).to include("schema_difference" => match(difference), "rows" => include("more" => {"after" => 0}, "items" => include("after" => 2)))
    end
    table = dry_run(file)
    expect(table).to have_attributes(exit_code: 3, stdout: /\ANothing was swapped. A push would be refused.*^schema          differs\n  - CREATE/m, stderr: /^ERROR: schema mismatch/)
  end

  it "reports also what refuses the file, and what it warns about" do
    damaged = new_file(items: ["x" * 3000] * 20)
    File.open(damaged, "r+b") { |file| file.seek(4096) && file.write("\xff" * 4096) }
    report = nothing_moves { json(damaged) }
    expect(report).to include("exit_status" => 3, "error" => match(/integrity check failed/))
    expect(report["dry_run"]).to include("file" => include("user_version" => 7)).and(satisfy { |run| !run.key?("rows") })

    shrunk = nothing_moves { json(new_file(items: []), "--max-shrink=50%", "--skip-schema-check") }
    expect(shrunk).to include("exit_status" => 3, "error" => include("would remove more rows than max_shrink"), "dry_run" => include("rows" => include("items" => include("after" => 0))))
    warned = nothing_moves { json(new_file(items: []), "--skip-schema-check") }
    expect(warned["dry_run"]["warnings"]).to eq ["these tables lose all their rows: items"]
  end

  it "says why a push would be written in place, with an estimate" do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    stranger = Stranger.shell(app.database_path)
    stranger.ask("SELECT count(*) FROM items")
    report = nothing_moves { json(new_file) }
    expect(report["dry_run"]).to include("way" => "in_place", "why" => match(Project.linux? ? /is open in process #{stranger.pid} \(/ : /could be open/), "pause_ms" => be_positive)
    large = new_file(items: ["x" * 1000] * 5000)
    # On a busy machine the worker may not find the stranger in time; then a push would meet it later.
    eventually do
      expect(json(large, "--max-pause", "0.001")).to include("exit_status" => 3, "error" => match(/longer than max_pause/), "dry_run" => include("way" => "in_place"))
    end
  ensure
    stranger&.stop
  end

  it "compares with --if-match and --if-changed" do
    identity = app.hotswap("cp", "database", "-").stderr[/\h{32}/]
    expect(json(new_file, "--if-match", identity)["exit_status"]).to eq 0
    expect(json(new_file, "--if-match", "0" * 32)["exit_status"]).to eq 6
    app.hotswap("cp", "database", "pulled.sqlite3")
    expect(json("pulled.sqlite3", "--if-changed")).to include("changed" => false)
  end

  it "is only for pushes, and leaves no folder behind" do
    expect(app.hotswap("cp", "database", "backup.sqlite3", "--dry-run")).to have_attributes(exit_code: 2, stderr: /--dry-run is for a push/)
    expect(app.root.join("backup.sqlite3")).not_to exist
  end
end
