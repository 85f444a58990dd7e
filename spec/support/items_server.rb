# frozen_string_literal: true

require "sqlite3"
require_relative "rack_server"

# A Rack application on the plain sqlite3 gem, for what Rails decides by itself: the schema and the journal mode
# of its one database. Its only page shows the names of its items, and takes one more.
#
#   ItemsServer.start(journal_mode: "delete")
class ItemsServer < RackServer
  SCHEMA = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)"

  LIVE = "storage/app.sqlite3"

  # Gives a busy machine and its disk more time. With the default of half a second, some swaps fail only because the
  # machine is busy. A spec about max_pause sets its own.
  PATIENT = "config.max_pause = 3"

  # What comes before the page. Keeps one connection open between requests.
  CONNECTION = <<~RUBY
    require "hotswap"

    Hotswap.register("#{LIVE}")

    DATABASE = Struct.new(:connection) do
      def execute(...)
        self.connection ||= SQLite3::Database.new("#{LIVE}").tap { |opened| opened.busy_timeout = 5_000 }
        connection.execute(...)
      end

      def close
        connection&.close
        self.connection = nil
      end
    end.new

    Hotswap.on_disconnect { DATABASE.close }
    Hotswap.start

    use Hotswap::Middleware
  RUBY

  APPLICATION = CONNECTION + <<~RUBY
    # Waits for the file "go-on" where it is asked to, and makes the file "waits": a request that takes its time.
    run lambda { |env|
      File.write("waits", "") if env["PATH_INFO"] == "/wait"
      sleep 0.01 until env["PATH_INFO"] != "/wait" || File.exist?("go-on")
      DATABASE.execute("INSERT INTO items (name) VALUES (?)", [Rack::Request.new(env).POST.fetch("name")]) if env["REQUEST_METHOD"] == "POST"
      [200, {"content-type" => "text/plain"}, [DATABASE.execute("SELECT name FROM items ORDER BY id").join(" ")]]
    }
  RUBY

  # by_way_of: a program that starts it, with other rights or in other namespaces.
  def initialize(by_way_of: [], **options)
    super(**options)
    @by_way_of = by_way_of
  end

  # settings: Ruby code that changes the `config` of Hotswap.configure. It runs after PATIENT.
  def self.start(schema: self::SCHEMA, journal_mode: "wal", settings: "", **options, &block)
    configured = %(require "hotswap"\nHotswap.configure { |config| #{PATIENT}; #{settings} }\n#{self::APPLICATION})
    super(config: configured, database: LIVE, threads: 1, **options) do |server|
      server.fill(schema, journal_mode)
      block&.call(server)
    end
  end

  # Makes the database that it serves at first.
  def fill(schema, journal_mode) = file(LIVE, schema, %w[old], journal_mode: journal_mode)

  # Makes a database below the application's folder, anew.
  def file(name, schema, items = [], **options)
    make(name, schema: schema, **options) do |db|
      items.each { |item| db.execute("INSERT INTO items (name) VALUES (?)", [item]) }
    end
  end

  # The same with any content.
  def make(name, schema: self.class::SCHEMA, journal_mode: "delete")
    path = root.join(name).tap { |file| file.dirname.mkpath }.to_s
    FileUtils.rm_f(path)
    SQLite3::Database.new(path) do |db|
      db.execute("PRAGMA journal_mode = #{journal_mode}")
      db.execute_batch(schema)
      db.transaction { yield db } if block_given?
    end
    path
  end

  # What it serves.
  def version = get("/").body

  private

  def command = [*@by_way_of, *super]
end
