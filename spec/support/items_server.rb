# frozen_string_literal: true

require "sqlite3"
require_relative "rack_server"

# A Rack application on the plain sqlite3 gem, for what Rails decides by itself: the schema and the journal mode
# of its one database. Its only page shows the names of its items, and takes one more.
#
#   ItemsServer.start(journal_mode: "delete")
class ItemsServer < RackServer
  SCHEMA = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)"

  APPLICATION = <<~RUBY
    require "hotswap"

    Hotswap.register("storage/app.sqlite3")

    DATABASE = Struct.new(:connection) do
      def database
        self.connection ||= SQLite3::Database.new("storage/app.sqlite3").tap { |opened| opened.busy_timeout = 5_000 }
      end

      def names = database.execute("SELECT name FROM items ORDER BY id").join(" ")

      def add(name) = database.execute("INSERT INTO items (name) VALUES (?)", [name])

      def close
        connection&.close
        self.connection = nil
      end
    end.new

    Hotswap.on_disconnect { DATABASE.close }
    Hotswap.start

    use Hotswap::Middleware
    # Waits for the file "go-on" where it is asked to, and makes the file "waits": a request that takes its time.
    run lambda { |env|
      File.write("waits", "") if env["PATH_INFO"] == "/wait"
      sleep 0.01 until env["PATH_INFO"] != "/wait" || File.exist?("go-on")
      DATABASE.add(Rack::Request.new(env).POST.fetch("name")) if env["REQUEST_METHOD"] == "POST"
      [200, {"content-type" => "text/plain"}, [DATABASE.names]]
    }
  RUBY

  # by_way_of: a program that starts it, with other rights or in other namespaces.
  def initialize(by_way_of: [], **options)
    super(**options)
    @by_way_of = by_way_of
  end

  # settings: lines about the `config` of Hotswap.configure.
  def self.start(schema: SCHEMA, journal_mode: "wal", settings: "", **options, &block)
    configured = %(require "hotswap"\nHotswap.configure { |config| #{settings} }\n#{APPLICATION})
    super(config: configured, database: "storage/app.sqlite3", threads: 1, **options) do |server|
      server.file("storage/app.sqlite3", schema, %w[old], journal_mode: journal_mode)
      block&.call(server)
    end
  end

  # Makes a database below the application's folder, anew.
  def file(name, schema, items = [], journal_mode: "delete")
    path = root.join(name).tap { |file| file.dirname.mkpath }.to_s
    FileUtils.rm_f(path)
    SQLite3::Database.new(path) do |db|
      db.execute("PRAGMA journal_mode = #{journal_mode}")
      db.execute_batch(schema)
      db.transaction { items.each { |item| db.execute("INSERT INTO items (name) VALUES (?)", [item]) } }
    end
    path
  end

  # What it serves.
  def version = get("/").body

  private

  def command = [*@by_way_of, *super]
end
