# frozen_string_literal: true

require_relative "support/fleet"

# After a restore by hand, the running processes have files open to which no path leads any more. They keep using them,
# like any program, until the next push, which must reach them.
RSpec.describe "a database that an operator restored under the running server", :fleet do
  let(:app) { boot_app(workers: 2, initializer: "Rails.application.config.hotswap.timeout = 8") }

  before { expect_all_on(app, "v1", processes: 2) }

  def storage = app.root.join("storage")

  def push(version, *options)
    app.hotswap("cp", app.databases.release(version), app.database_path, *options)
  end

  def expect_pushed(version, *options)
    pushed = push(version, *options)
    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), pushed.stderr
    expect_written_to_the_live_file(version)
    pushed
  end

  # Each process serves the new content, and what it acknowledges is in the file that the path means.
  def expect_written_to_the_live_file(version)
    tokens = {}
    eventually(20) do
      token = "after-#{version}-#{tokens.size}"
      written = app.post("/items", token: token).json
      expect(written["version"]).to eq version
      tokens[token] = written.fetch("pid")
      tokens.values.uniq.size == 2
    end
    found = TestDatabase.read(app.database_path) { |db| db.execute("SELECT token FROM items WHERE token LIKE 'after-#{version}-%'").flatten }
    expect(found).to match_array(tokens.keys)
    expect_all_on(app, version, processes: 2)
  end

  {
    "the folder was moved away and replaced by a copy" => lambda { |storage|
      storage.rename("#{storage}.aside")
      system("cp", "-a", "#{storage}.aside", storage.to_s, exception: true)
    },
    "the folder was moved away and replaced by a link to it" => lambda { |storage|
      storage.rename("#{storage}.elsewhere")
      File.symlink("#{storage}.elsewhere", storage)
    },
    "the folder was replaced by a link to a copy" => lambda { |storage|
      system("cp", "-a", storage.to_s, "#{storage}.copy", exception: true)
      storage.rename("#{storage}.aside")
      File.symlink("#{storage}.copy", storage)
    },
    "the database and its lock file were removed and created again" => lambda { |storage|
      seeds = DemoApp.seeded_database
      storage.glob("production.sqlite3*").each(&:delete)
      FileUtils.cp(seeds, storage.join("production.sqlite3"))
    },
    "the database and its lock file were removed" => lambda { |storage|
      storage.glob("production.sqlite3*").each(&:delete)
    },
    "only the lock file was removed" => ->(storage) { storage.join("production.sqlite3.hotswap").delete },
    "only the database was removed and created again" => lambda { |storage|
      storage.glob("production.sqlite3{,-wal,-shm}").each(&:delete)
      FileUtils.cp(DemoApp.seeded_database, storage.join("production.sqlite3"))
    },
    "every file was replaced by a rename, as by rsync" => lambda { |storage|
      storage.glob("production.sqlite3{,.hotswap}").each do |file|
        FileUtils.cp(file, "#{file}.rsync")
        File.rename("#{file}.rsync", file)
      end
      storage.glob("production.sqlite3-{wal,shm}").each(&:delete)
    },
    "the lock file was overwritten with an older one" => lambda { |storage|
      storage.join("production.sqlite3.hotswap").write("\0" * 64, mode: "r+")
    }
  }.each do |what, restore|
    it "moves every process with the next push, if #{what}" do
      restore.call(storage)
      # No process counts as a stranger; the push would go in place then.
      expect_pushed("first", *("--in-place=never" if Project.linux?))
      expect_pushed("second")
      expect(app.stray_files).to eq []
    end
  end

  def restore_a_copy
    storage.rename("#{storage}.aside")
    system("cp", "-a", "#{storage}.aside", storage.to_s, exception: true)
  end

  it "is not opened until then: each process keeps its old files, and logs that" do
    console = AppProgram.console(app)
    console.say("puts \"sees \#{Release.current}.\"")
    console.wait_for("sees v1.", 60)
    restore_a_copy
    eventually { app.log.scan("the lock file of #{app.database_path} was replaced by another program").size == 2 }
    SQLite3::Database.new(app.database_path) { |db| db.execute("INSERT INTO releases (version) VALUES ('by hand')") }
    expect_all_on(app, "v1", processes: 2)

    expect_pushed("pushed")
    console.say("puts \"now \#{Release.current}, \#{Item.create!(name: 'console', token: 'of-the-console').token}.\"")
    console.wait_for("now pushed, of-the-console.")
    TestDatabase.read(app.database_path) { |db| expect(db.execute("SELECT name FROM items WHERE token = 'of-the-console'")).to eq [["console"]] }
  end

  # Fails unless the worker looks for members that hold another fence (worker/fleet): the push would succeed, and the
  # stopped process would continue with the former file when it is continued.
  it "makes a push wait for a process that has not noticed, and names that process" do
    stopped = worker_pids(app).first
    Process.kill(:STOP, stopped)
    restore_a_copy
    refused = push("too early", "--timeout", "3")

    expect(refused).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.stderr).to match(/^ERROR: another program replaced .*production\.sqlite3\.hotswap, and #{HotswapCommand.named(stopped, "puma.*")} did not notice within 3\.0 s/)
    expect(TestDatabase.version(app.database_path)).to eq "v1"

    Process.kill(:CONT, stopped)
    expect_pushed("in time")
  ensure
    Process.kill(:CONT, stopped)
  end

  it "makes a waiting push fail, and the next push moves every process" do
    slow = Thread.new { app.get("/slow?t=4") }
    eventually { app.log.include?(%(Started GET "/slow?t=4")) }
    waiting = app.start_hotswap("cp", app.databases.release("overtaken"), app.database_path)
    eventually { expect(waiting.stderr).to include("Swapping") }
    restore_a_copy
    slow.join

    expect(waiting.wait).to have_attributes(exit_code: 4, stdout: "", stderr: /another program (removed or replaced|removed|replaced) /)
    expect(TestDatabase.version(app.database_path)).to eq "v1"
    expect_pushed("next")
  end
end
