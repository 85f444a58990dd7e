# frozen_string_literal: true

require "sqlite3"

RSpec.describe "an application without Rails", lane: "default" do
  # A Rack application that keeps a connection for as long as it can, as those without a pool do.
  def application(settings, closing: "", query: "SELECT version FROM releases ORDER BY id DESC LIMIT 1")
    <<~RUBY
      require "hotswap"
      #{settings}
      DATABASE = Struct.new(:connection) do
        def answer
          self.connection ||= SQLite3::Database.new("db/app.sqlite3")
          connection.get_first_value("#{query}").to_s
        end

        def close
          connection&.close
          self.connection = nil
        end
      end.new
      #{closing}
      Hotswap.start

      use Hotswap::Middleware
      run ->(_) { [200, {"content-type" => "text/plain"}, [DATABASE.answer]] }
    RUBY
  end

  def boot(config, **options)
    @app = boot_rack(config, database: "db/app.sqlite3", **options) do |server|
      server.root.join("db").mkpath
      TestDatabase.new(server.root.join("db")).release("old", name: "app.sqlite3")
    end
  end

  attr_reader :app

  def databases = TestDatabase.new(app.root.join("files").tap(&:mkpath))

  def version = app.get("/").body

  it "can push and pull if on_disconnect closes its connections" do
    boot(application('Hotswap.register("db/app.sqlite3")', closing: "Hotswap.on_disconnect { DATABASE.close }"), threads: 1, env: {RUBYOPT: "-w"})

    expect(version).to eq "old"
    expect(app.hotswap("cp", "db/app.sqlite3", "backup.sqlite3")).to have_attributes(exit_code: 0)
    expect(TestDatabase.content(app.root.join("backup.sqlite3"))).to eq TestDatabase.content(app.database_path)
    expect(app.hotswap("cp", databases.release("new"), "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(version).to eq "new"
    expect(app.log.lines.grep(/hotswap.*: warning:/)).to eq []
  end

  it "keeps its database if a connection stays open, and the error names the connection" do
    boot(application(<<~RUBY), threads: 1)
      Hotswap.register("db/app.sqlite3")
      Hotswap.configure { |config| config.timeout = 1 }
    RUBY
    expect(version).to eq "old"
    pushed = app.hotswap("cp", databases.release("new"), "database")

    expect(pushed).to have_attributes(exit_code: 4, stdout: "")
    expect(pushed.stderr).to match(/#{HotswapCommand.named(app.pid)} has 1 connection to db\/app\.sqlite3 open .*Hotswap\.on_disconnect/)
    expect(version).to eq "old"
    expect(TestDatabase.version(app.database_path)).to eq "old"
  end

  it "keeps its database if its block raises, and the error has the reason" do
    boot(application(<<~RUBY, closing: 'Hotswap.on_disconnect { raise "the importer is at work" }'), threads: 1)
      Hotswap.register("db/app.sqlite3")
      Hotswap.configure { |config| config.timeout = 1 }
    RUBY
    pushed = app.hotswap("cp", databases.release("new"), "database")

    expect(pushed).to have_attributes(exit_code: 4, stdout: "")
    expect(pushed.stderr).to include("the importer is at work (RuntimeError)")
    expect(TestDatabase.version(app.database_path)).to eq "old"
  end

  it "manages the database of Hotswap.configure, at the sockets of Hotswap.configure" do
    boot(application(<<~RUBY, closing: "Hotswap.on_disconnect { DATABASE.close }"), threads: 1)
      Hotswap.configure do |config|
        config.database_path = "db/app.sqlite3"
        config.socket_path = "tmp/app.sock"
        config.stderr_socket_path = "tmp/app-errors.sock"
      end
    RUBY

    expect(app.hotswap("cp", databases.release("new"), "db/app.sqlite3", "--socket", "tmp/app.sock"))
      .to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(version).to eq "new"
    expect(File.stat(app.root.join("tmp/app-errors.sock"))).to be_socket
  end

  it "logs to standard output, as hotswap" do
    boot(application('Hotswap.register("db/app.sqlite3")'), threads: 1)
    app.hotswap("cp", "database", "backup.sqlite3")

    eventually { expect(app.log).to match(/^I, \[.*\]  INFO -- hotswap: pull complete: db\/app\.sqlite3/) }
    expect(app.log).to include("INFO -- hotswap: managing 1 database(s): db/app.sqlite3")
  end

  it "logs to Hotswap.logger" do
    boot(application(<<~RUBY), threads: 1)
      Hotswap.register("db/app.sqlite3")
      Hotswap.logger = Logger.new("hotswap.log")
    RUBY

    expect(app.root.join("hotswap.log").read).to include("managing 1 database(s): db/app.sqlite3")
    expect(app.log).not_to include("managing")
  end

  # As the sqlite3 gem is where its SQLite was built without them.
  it "whose SQLite cannot load extensions boots without hotswap, and logs the reason" do
    boot(<<~RUBY, threads: 1)
      require "hotswap"
      SQLite3::Database.class_eval { %i[enable_load_extension load_extension].each { |method| undef_method method } }
      Hotswap.register("db/app.sqlite3")
      Hotswap.start
      use Hotswap::Middleware
      run ->(_) { [200, {"content-type" => "text/plain"}, [SQLite3::Database.new("db/app.sqlite3") { |it| break it.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }]] }
    RUBY

    expect(version).to eq "old"
    expect(app.log).to include("hotswap is not available: this build of the sqlite3 gem cannot load extensions", "Install the precompiled gem")
    expect(app.hotswap("cp", "database", "backup.sqlite3")).to have_attributes(exit_code: 1)
  end

  it "can disconnect with Sequel" do
    sequel = Sequels.folder or skip "the gem sequel is neither installed nor among the packages in ../shared/gems"
    boot(<<~RUBY)
      $LOAD_PATH.unshift(#{sequel.inspect})
      require "hotswap"
      require "sequel"
      Hotswap.register("db/app.sqlite3")
      DB = Sequel.sqlite("db/app.sqlite3", max_connections: 5)
      Hotswap.on_disconnect { DB.disconnect }
      Hotswap.start

      use Hotswap::Middleware
      run ->(_) { [200, {"content-type" => "text/plain"}, [DB[:releases].order(Sequel.desc(:id)).get(:version)]] }
    RUBY
    expect(Array.new(10) { Thread.new { version } }.map(&:value)).to eq ["old"] * 10

    expect(app.hotswap("cp", databases.release("new"), "db/app.sqlite3")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(Array.new(10) { Thread.new { version } }.map(&:value)).to eq ["new"] * 10
  end
end
