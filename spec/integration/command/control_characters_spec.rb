# frozen_string_literal: true

# A name can contain characters that move a terminal's cursor or begin a new line in a log. The command and the log show
# them escaped.
RSpec.describe "control characters", lane: "default" do
  # A colour, a cleared screen, text that runs backwards, a C1 control and a line that looks like one of hotswap's own.
  attack = "\e[31mx\e[2J\u202ey\u009bz\nERROR: forged"
  shown = '\x1b[31mx\x1b[2J\u{202e}y\u{9b}z\nERROR: forged'
  name = "storage/#{attack}.sqlite3"

  application = ItemsServer::APPLICATION.gsub('env["PATH_INFO"] == "/wait"', 'env["PATH_INFO"].start_with?("/wait")')
    .gsub('env["PATH_INFO"] != "/wait"', '!env["PATH_INFO"].start_with?("/wait")')

  before(:context) do
    @app = RackServer.start(config: application.gsub("storage/app.sqlite3", name), database: name) do |server|
      TestDatabase.new(server.root.join("storage").tap(&:mkpath))
      make(server.root.join(name), ItemsServer::SCHEMA)
    end
  end

  after(:context) { @app&.tear_down }

  attr_reader :app

  def make(path, schema)
    SQLite3::Database.new(path.to_s) { |db| db.execute_batch(schema) }
    path.to_s
  end

  def file(schema, name = "new.sqlite3")
    path = app.root.join(name)
    FileUtils.rm_f(path)
    make(path, schema)
  end

  # The output on the screen, and the new lines in the log.
  def said(*arguments, logged: /command failed|push complete/, **options)
    before = app.log.lines.size
    answer = app.hotswap(*arguments, **options)
    eventually { app.log.lines.drop(before).grep(logged).any? } if logged
    log = app.log.lines.drop(before).join
    expect([answer.stderr, log]).to all(be_harmless)
    [answer, log]
  end

  matcher :be_harmless do
    match { |text| !text.match?(/[\p{Cc}\p{Cf}&&[^\n\t]]/) && text.lines.none? { |line| line.start_with?("ERROR: forged") } }
  end

  it "in the path of the database are escaped at boot, on the screen and in the log" do
    expect(app.log).to be_harmless.and include("managing 1 database(s): storage/#{shown}.sqlite3")

    pushed, log = said("cp", file(ItemsServer::SCHEMA), name)
    expect(pushed).to have_attributes(exit_code: 0, stderr: /^#{Regexp.escape("storage/#{shown}.sqlite3")}, \d+ bytes/)
    expect(log).to include("push complete: storage/#{shown}.sqlite3")
  end

  it "in the name of the pushed file are escaped" do
    pushed, log = said("cp", file(ItemsServer::SCHEMA, "#{attack}.sqlite3"), "database")
    expect(pushed).to have_attributes(exit_code: 0)
    expect(log).to include("command: cp #{app.root}/#{shown}.sqlite3 database\n")

    app.root.join("#{attack}.txt").write("no database" * 20)
    refused, log = said("cp", "#{attack}.txt", "database")
    expect(refused.stderr).to start_with("ERROR: file is not a database: #{shown}.txt begins with")
    expect(log).to include("command failed: file is not a database: #{shown}.txt begins with")

    missing, log = said("cp", "#{attack}.missing", "database")
    expect([missing.stderr, log]).to all(include("cannot read #{shown}.missing: No such file"))
  end

  it "in the path of a pull's target are escaped" do
    refused, log = said("cp", "database", "#{attack}/missing/copy.sqlite3")

    expect([refused.stderr, log]).to all(include("cannot write #{shown}/missing/copy.sqlite3"))
  end

  it "in the title of a process that has the database open are escaped", :linux do
    pid = Process.spawn(["sleep", attack], "60", in: app.database_path)
    refused, log = said("cp", "--in-place=never", file(ItemsServer::SCHEMA), "database")

    expect(refused).to have_attributes(exit_code: 4)
    expect([refused.stderr, log]).to all(include("is open in process #{pid} (#{shown} 60), which hotswap does not manage"))
  ensure
    Process.kill(:KILL, pid)
    Process.wait(pid)
  end

  it "in the names and statements of a different schema are escaped" do
    schema = "CREATE TABLE \"#{attack}\" (id, \"#{attack}\"); CREATE VIEW v AS\n\tSELECT 1 -- #{attack.lines.first}"
    refused, log = said("cp", file(schema), "database")

    expect(refused.exit_code).to eq 3
    lines = refused.stderr.lines(chomp: true)
    expect(lines.shift).to eq "ERROR: schema mismatch"
    expect(lines).to include("- #{ItemsServer::SCHEMA}", '+ CREATE TABLE "\x1b[31mx\x1b[2J\u{202e}y\u{9b}z', "+ CREATE VIEW v AS",
      "+ \tSELECT 1 -- \\x1b[31mx\\x1b[2J\\u{202e}y\\u{9b}z")
    expect([refused.stderr, log]).to all(include("only in the file: #{shown}, v"))
  end

  it "in the result of the integrity check are escaped" do
    path = file("#{ItemsServer::SCHEMA}; CREATE TABLE \"#{attack}\" (a); INSERT INTO \"#{attack}\" VALUES (1)")
    SQLite3::Database.new(path) do |db|
      db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '(a)', '(a CHECK (a > 1))')")
    end
    refused, log = said("cp", path, "database")

    expect(refused.stderr).to start_with("ERROR: integrity check failed:\nCHECK constraint failed in #{shown}\n")
    expect(log).to include("CHECK constraint failed in #{shown} | ")
  end

  it "in the name of a missing module are escaped" do
    path = file(ItemsServer::SCHEMA)
    SQLite3::Database.new(path) do |db|
      sql = "CREATE VIRTUAL TABLE v USING \"#{attack}\"(a)"
      db.execute_batch("PRAGMA writable_schema = ON")
      db.execute("INSERT INTO sqlite_schema VALUES ('table', 'v', 'v', 0, ?)", [sql])
    end
    refused, log = said("cp", path, "database")

    expect([refused.stderr, log]).to all(include("no such module: #{shown}"))
  end

  it "in the arguments of the command are escaped" do
    [["\e[2J\u202emv", "a", "b"], ["cp", "--\e[2J\u202emv", "a", "b"], ["cp", "a", "b", "\e[2J\u202emv"]].each do |words|
      answer, = said(*words, logged: nil)
      expect(answer).to have_attributes(exit_code: 2, stderr: /\AERROR: .*\\u\{202e\}mv/)
    end
  end

  it "in the path of a request that a push waits for are escaped in every encoding" do
    waiting = TCPSocket.new("127.0.0.1", app.port)
    waiting.write("GET /wait/\u00e9\xff\u009b2J HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".b)
    eventually { app.root.join("waits").exist? }
    refused, log = said("cp", "--timeout", "1", file(ItemsServer::SCHEMA), "database")

    expect(refused).to have_attributes(exit_code: 4)
    expect([refused.stderr, log]).to all(include('GET /wait/é\xff\u{9b}2J for '))
  ensure
    app.write("go-on", "")
    waiting&.read
    waiting&.close
  end

  it "are not confused with the letters of any language" do
    pushed, log = said("cp", file(ItemsServer::SCHEMA, "Büro 漢字 🎉.sqlite3"), "database")

    expect(pushed.exit_code).to eq 0
    expect(log).to include("Büro 漢字 🎉.sqlite3")
  end
end
