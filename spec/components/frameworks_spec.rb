# frozen_string_literal: true

require_relative "../integration/fleet/support/fleet"

# Applications that use SQLite without Rails, in two Puma workers.
RSpec.describe "swaps under load, with", :fleet, :thorough, lane: "components" do
  preamble = <<~RUBY
    require "json"
    require "hotswap"
    DATABASE = "storage/production.sqlite3"
    VERSION = "SELECT version FROM releases ORDER BY id DESC LIMIT 1"
    WRITE = "INSERT INTO items (name, token) VALUES ('visitor', ?) RETURNING id, token, (\#{VERSION}) AS version"
    ANSWER = ->(hash) { JSON.generate({pid: Process.pid, **hash}) }
    Hotswap.register(DATABASE)
  RUBY

  sequel = <<~RUBY
    require "sequel"
    DB = Sequel.sqlite(DATABASE, max_connections: 5, timeout: 5000)
    Hotswap.on_disconnect { DB.disconnect }
    Hotswap.start
    DB.disconnect # Puma forks next

    use Hotswap::Middleware
    run lambda { |env|
      request = Rack::Request.new(env)
      row = request.post? ? DB.fetch(WRITE, request.params.fetch("token")).first : {version: DB.fetch(VERSION).single_value}
      [200, {"content-type" => "application/json"}, [ANSWER.call(row)]]
    }
  RUBY

  # A connection for each thread, the way it is done by hand.
  roda = <<~RUBY
    require "roda"
    CONNECTIONS = Queue.new
    WITH_DATABASE = lambda do |&block|
      database = CONNECTIONS.pop(true) rescue SQLite3::Database.new(DATABASE).tap { |opened| opened.busy_timeout = 5000 }
      block.call(database)
    ensure
      CONNECTIONS << database
    end
    Hotswap.on_disconnect { CONNECTIONS.pop(true).close until CONNECTIONS.empty? }
    Hotswap.start

    class App < Roda
      plugin :json
      route do |r|
        r.post("items") do
          id, token, version = WITH_DATABASE.call { |database| database.get_first_row(WRITE, [r.params.fetch("token")]) }
          {pid: Process.pid, id: id, token: token, version: version}
        end
        {pid: Process.pid, version: WITH_DATABASE.call { |database| database.get_first_value(VERSION) }}
      end
    end
    use Hotswap::Middleware
    run App
  RUBY

  # Active Record without Rails.
  sinatra = <<~RUBY
    require "sinatra/base"
    require "active_record"
    ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: DATABASE, pool: 5, timeout: 5000)
    Hotswap.start

    class App < Sinatra::Base
      set :environment, :production
      helpers do
        def rows(sql, *values)
          ActiveRecord::Base.with_connection { |it| it.exec_query(ActiveRecord::Base.sanitize_sql([sql, *values])).to_a }
        end
      end
      before { content_type :json }
      get("/*") { ANSWER.call(rows(VERSION).first.transform_keys(&:to_sym)) }
      post("/items") { ANSWER.call(rows(WRITE, params.fetch("token")).first.transform_keys(&:to_sym)) }
    end
    use Hotswap::Middleware
    run App
  RUBY

  {"Sequel" => sequel, "Roda and the plain sqlite3 gem" => roda, "Sinatra and Active Record" => sinatra}.each do |name, config|
    it name do
      app = boot_rack(preamble + config, database: "storage/production.sqlite3", workers: 2) do |server|
        server.root.join("storage").mkpath
        TestDatabase.new(server.root.join("storage")).wal_mode("v1", name: "production.sqlite3")
      end
      expect_all_on(app, "v1", processes: 2)
      generations = Generations.new(app)
      verdict = visited(app, generations) { swap(generations, 6) }

      expect(verdict.broken).to eq []
      expect(verdict.acknowledged).not_to be_empty
      expect_all_on(app, generations.live, processes: 2)
    end
  end
end
