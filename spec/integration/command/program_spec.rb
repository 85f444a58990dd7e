# frozen_string_literal: true

require "json"
require "open3"
require "tmpdir"

RSpec.describe "a program that is not a web server" do
  around { |example| Dir.mktmpdir("hs") { |folder| (@folder = Pathname(folder).realpath) && example.run } }

  before { TestDatabase.new(folder).release("old", name: "app.sqlite3") }

  attr_reader :folder

  # Runs a program whose `tell` prints what the spec wants to know, as JSON; returns that and the rest of stdout.
  def run(program)
    preamble = <<~RUBY
      require "hotswap"
      require "json"
      require "stringio"
      require "tmpdir"
      def tell(*what) = puts("told " + JSON.generate(what))
      def eventually
        deadline = Time.now + 10
        sleep 0.01 until (answer = yield) || Time.now > deadline
        answer
      end
      def version = SQLite3::Database.new("app.sqlite3") { |it| break it.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }
      def hotswap(*arguments, stdin: StringIO.new)
        out, err = StringIO.new, StringIO.new
        [Hotswap::CLI.run(arguments, stdin: stdin, stdout: out, stderr: err), out.string, err.string]
      end
    RUBY
    said, status = Open3.capture2e(Project.bundled_environment, *Project::RUBY, "-w", "-e", preamble + program,
      chdir: folder.to_s, unsetenv_others: true)
    raise said unless status.success?
    told, rest = said.lines.partition { |line| line.start_with?("told ") }
    [told.map { |line| JSON.parse(line.delete_prefix("told ")) }, rest.join]
  end

  it "can start and stop serving again and again, and cleans up" do
    told, = run(<<~RUBY)
      Hotswap.configure { |config| config.database_path = "app.sqlite3" }
      2.times do
        Hotswap.start
        Hotswap.start
        served = eventually { File.socket?(Hotswap.socket_path) && File.socket?(Hotswap.stderr_socket_path) }
        code, = hotswap("cp", "database", "backup.sqlite3")
        Hotswap.stop
        Hotswap.stop
        tell served, code, File.exist?(Hotswap.socket_path), File.exist?(Hotswap.stderr_socket_path)
      end
    RUBY

    expect(told).to eq [[true, 0, false, false]] * 2
    expect(folder.join("tmp/sockets").glob("*.sock")).to be_empty
  end

  it "stops serving when it ends" do
    run(<<~RUBY)
      Hotswap.register("app.sqlite3")
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) } or raise "does not serve"
    RUBY

    expect(folder.join("tmp/sockets").glob("*.sock")).to be_empty
  end

  it "can push and pull from inside itself, with StringIO, and then reads the new data" do
    new = TestDatabase.new(folder).release("new", name: "new.sqlite3")
    told, log = run(<<~RUBY)
      Hotswap.register("app.sqlite3")
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) }
      tell version
      tell(*hotswap("cp", "-", "database", stdin: StringIO.new(File.binread(#{new.inspect}))))
      tell version
      code, pulled, errors = hotswap("cp", "app.sqlite3", "-")
      File.binwrite("pulled.sqlite3", pulled)
      tell code, errors
    RUBY

    expect(told).to match [["old"], [0, "OK\n", HotswapCommand::SWAPPED], ["new"], [0, /\Aidentity: \h{32}\n\z/]]
    expect(TestDatabase.content(folder.join("pulled.sqlite3"))).to eq TestDatabase.content(folder.join("app.sqlite3"))
    # The default logger names hotswap in each line, so there is no tag.
    expect(log).to match(/INFO -- hotswap: push complete: app\.sqlite3, /)
    expect(log.lines.grep(/hotswap.*: warning:/)).to eq []
  end

  # The time that a push may wait for is long, so that a refusal which waited for it would not be over in time.
  it "can pull, but not push, from inside a request or a job, and learns that at once" do
    new = TestDatabase.new(folder).release("new", name: "new.sqlite3")
    told, = run(<<~RUBY)
      Hotswap.configure { |config| config.database_path = "app.sqlite3"; config.timeout = 600 }
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) }
      version
      Hotswap::Gate.pass("the nightly import") do
        tell(*hotswap("cp", #{new.inspect}, "database"))
        tell(*hotswap("cp", #{new.inspect}, "app.sqlite3"))
        tell(*hotswap("cp", "database", "pulled.sqlite3"))
      end
      tell version
      tell(*hotswap("cp", #{new.inspect}, "database"))
      tell version
    RUBY

    refused = [3, "", /\AERROR: this request or job would wait for its own push: hotswap replaces app\.sqlite3 .*Process\.detach\(spawn\("bin\/hotswap"/]
    expect(told).to match [refused, refused, [0, "", /\Aidentity: \h{32}\nOK\n\z/], ["old"], [0, "OK\n", HotswapCommand::SWAPPED], ["new"]]
  end

  it "can push from inside a job to a database that its process has not opened" do
    new = TestDatabase.new(folder).release("new", name: "new.sqlite3")
    told, = run(<<~RUBY)
      Hotswap.configure { |config| config.database_path = "app.sqlite3" }
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) }
      Hotswap::Gate.pass("a script") { tell(*hotswap("cp", #{new.inspect}, "database")) }
      tell version
    RUBY

    expect(told).to match [[0, "OK\n", HotswapCommand::SWAPPED], ["new"]]
  end

  it "can start a process from inside a job that pushes when the job has ended" do
    new = TestDatabase.new(folder).release("new", name: "new.sqlite3")
    told, = run(<<~RUBY)
      Hotswap.configure { |config| config.database_path = "app.sqlite3" }
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) }
      version
      pushing = Hotswap::Gate.pass("the nightly import") { Process.detach(spawn(*#{HotswapCommand::PROGRAM.inspect}, "cp", #{new.inspect}, "database", out: File::NULL, err: File::NULL)) }
      tell pushing.value.exitstatus, version
    RUBY

    expect(told).to eq [[0, "new"]]
  end

  it "connects to the server of its own settings from any folder" do
    told, = run(<<~RUBY)
      Hotswap.configure { |config| config.database_path = "app.sqlite3"; config.socket_path = "tmp/elsewhere.sock" }
      Hotswap.start
      eventually { File.socket?(Hotswap.socket_path) }
      tell(*hotswap("cp", "database", "backup.sqlite3"))
      Dir.mktmpdir { |elsewhere| Dir.chdir(elsewhere) { tell(*hotswap("cp", "database", "backup.sqlite3")) } }
    RUBY

    expect(told).to match [[0, "", /\Aidentity: \h{32}\nOK\n\z/]] * 2
  end
end
