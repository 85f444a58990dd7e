# frozen_string_literal: true

RSpec.describe "a worker that a signal kills", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  before do
    eventually { workers.empty? } # One may linger after its push.
    @logged = app.log.length
  end

  after do
    expect(app.hotswap("cp", app.file("well.sqlite3", ItemsServer::SCHEMA, %w[well]), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "well"
  end

  def logged = app.log[@logged..]

  def workers = app.process.members - [app.pid]

  # Starts a push from stdin, and sends the worker the signal when it has half of the file. If the client reads the
  # pipe, the client sends a megabyte at a time.
  def push_ended_by(signal)
    file = app.file("half.sqlite3", ItemsServer::SCHEMA, ["x" * 3_000_000])
    push = FedCommand.start(app, "cp", "-", "database")
    push.write(File.binread(file, 1_500_000))
    eventually { app.root.glob("storage/.*.staged").any? { |staged| staged.size >= 1_000_000 } }
    worker = workers.first
    Process.kill(signal, worker)
    [worker, push.wait]
  ensure
    push.close
  end

  %w[SEGV BUS ILL FPE ABRT].each do |signal|
    it "reports SIG#{signal} to its client and in the application's log" do
      worker, push = push_ended_by(signal)

      expect(push).to have_attributes(exit_code: 5, stdout: "",
        stderr: /\AERROR: SIG#{signal} ended the worker \(process #{worker}\): .*either the old or the new one\..* try again\n\z/)
      eventually { expect(logged).to include("command failed: SIG#{signal} ended the worker (process #{worker}): ") }
      expect(logged).not_to include("was killed")
    end
  end

  it "is reported as killed by SIGKILL, by its client and in the application's log" do
    worker, push = push_ended_by("KILL")

    expect(push).to have_attributes(exit_code: 5, stdout: "", stderr: /\AERROR: the worker was killed before it reported the outcome \(SIGKILL.*try again\n\z/)
    eventually { expect(logged).to match(/command failed: the worker \(process #{worker}\) was killed \(SIGKILL/) }
  end

  # low_priority.rs: the worker checks with half the stack of a web server's thread, on which the application would
  # evaluate the constraint.
  it "survives no constraint that needs more stack than a request has" do
    pattern = "replace(hex(zeroblob(20000)), '00', '%a')"
    path = app.file("deep.sqlite3", ItemsServer::SCHEMA, ["a" * 40_000])
    SQLite3::Database.new(path) do |db|
      sql = ItemsServer::SCHEMA.sub("name TEXT", "name TEXT CHECK (name LIKE #{pattern})")
      db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '#{sql.gsub("'", "''")}'")
    end
    push = app.hotswap("cp", path, "database", "--skip-schema-check")

    expect(push).to have_attributes(exit_code: 5, stderr: /\AERROR: SIGSEGV ended the worker \(process \d+\)/)
    eventually { expect(logged).to include("SIGSEGV ended the worker") }
    # Nor is there a report of Ruby's, a thousand lines long.
    expect(logged.lines.size).to be < 20
  end
end
