# frozen_string_literal: true

require_relative "support/cable_client"
require_relative "../integration/fleet/support/fleet"

# Rails' own users of SQLite, each with a database of its own that is swapped while it is used.
RSpec.describe "the database of", :fleet, :thorough, lane: "components" do
  cable_schema = <<~SQL
    CREATE TABLE solid_cable_messages (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, channel BLOB NOT NULL, payload BLOB NOT NULL,
      created_at DATETIME NOT NULL, channel_hash INTEGER NOT NULL);
    CREATE INDEX index_solid_cable_messages_on_channel_hash ON solid_cable_messages (channel_hash);
    CREATE INDEX index_solid_cable_messages_on_created_at ON solid_cable_messages (created_at);
  SQL

  before(:context) do
    @app = AppServer.start(workers: 0, env: {"RAILS_LOG_LEVEL" => "info"}) do |server|
      rewrite(server, "config/application.rb", "Bundler.require(*Rails.groups)", <<~RUBY)
        Bundler.require(*Rails.groups)
        require "action_cable/engine"
        %w[propshaft solid_cable solid_cache solid_errors solid_queue mission_control/jobs].each { |component| require component }
      RUBY
      rewrite(server, "config/database.yml", "%w[queue cache errors]", "%w[queue cache errors cable]")
      rewrite(server, "config/environments/production.rb", /^end\s*\z/, <<~RUBY)
          config.cache_store = :solid_cache_store
          config.solid_errors.connects_to = {database: {writing: :errors}}
          config.action_cable.disable_request_forgery_protection = true
          config.mission_control.jobs.http_basic_auth_enabled = false
        end
      RUBY
      rewrite(server, "config/routes.rb", /^end\s*\z/, <<~RUBY)
          mount SolidErrors::Engine, at: "/solid_errors"
          mount MissionControl::Jobs::Engine, at: "/jobs"
          get "cached", to: "components#cached"
          get "raise", to: "components#fail"
          post "broadcast", to: "components#broadcast"
        end
      RUBY
      server.write("config/cable.yml", "production:\n  adapter: solid_cable\n  polling_interval: 0.05.seconds\n  connects_to:\n    database:\n      writing: cable\n")
      server.write("config/cache.yml", "production:\n  database: cache\n")
      server.write("config/initializers/hotswap.rb", 'Hotswap.after_swap { |database| ActionCable.server.restart if database.name == "cable" }')
      server.write("app/channels/application_cable/connection.rb", "module ApplicationCable\n  class Connection < ActionCable::Connection::Base\n  end\nend\n")
      server.write("app/channels/news_channel.rb", "class NewsChannel < ActionCable::Channel::Base\n  def subscribed = stream_from(\"news\")\nend\n")
      server.write("app/controllers/components_controller.rb", <<~RUBY)
        class ComponentsController < ApplicationController
          def cached = render(plain: Rails.cache.fetch(params.fetch(:key)) { params[:value] }.to_s)
          def fail = raise("broken on purpose")
          def broadcast
            ActionCable.server.broadcast("news", params.fetch(:text))
            head :no_content
          end
        end
      RUBY
      cable = SQLite3::Database.new(server.database_path("cable"))
      cable.execute_batch(cable_schema)
      cable.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('solid_cable_messages', 1000)")
      cable.close
    end
  end

  after(:context) { @app&.tear_down }

  attr_reader :app

  def rewrite(server, path, from, to) = server.root.join(path).then { |file| file.write(file.read.sub(from) { to }) }

  # A copy of what is live, changed; pushed while the block runs in another thread.
  def push_changed(name, *options)
    file = app.root.join("log/#{name}-#{Time.now.to_f}.sqlite3").to_s
    expect(app.hotswap("cp", name, file)).to have_attributes(exit_code: 0)
    database = SQLite3::Database.new(file)
    yield database
    database.close
    pushed = app.hotswap("cp", file, name, *options)
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
  end

  # Statuses of requests made all the while.
  def meanwhile(path)
    done = false
    statuses = Thread.new { [].tap { |seen| seen << app.get("#{path}#{seen.size}").status until done } }
    yield
    done = true
    statuses.value.tally
  ensure
    done = true
  end

  it "Solid Cache is swapped under reads and writes" do
    expect(app.get("/cached?key=title&value=old").body).to eq "old"
    seen = meanwhile("/cached?value=x&key=k") do
      3.times { push_changed("cache", "--skip-schema-check") { |database| database.execute("DELETE FROM solid_cache_entries") } }
    end

    expect(seen.keys).to eq [200]
    expect(app.get("/cached?key=title&value=new").body).to eq "new"
    expect(app.get("/cached?key=title&value=newer").body).to eq "new"
  end

  it "Solid Errors is swapped while errors are recorded" do
    seen = meanwhile("/raise?n=") do
      2.times { push_changed("errors") { |database| database.execute("DELETE FROM solid_errors_occurrences") } }
    end
    expect(seen.keys).to eq [500]
    app.get("/raise")

    count = TestDatabase.read(app.database_path("errors")) { |database| database.get_first_value("SELECT count(*) FROM solid_errors_occurrences") }
    expect(count).to be_positive
    expect(app.get("/solid_errors")).to have_attributes(status: 200, body: a_string_including("broken on purpose"))
  end

  it "Mission Control shows the new jobs" do
    expect(app.get("/jobs/queues").status).to eq 200
    push_changed("queue") { |database| database.execute("INSERT INTO solid_queue_pauses (queue_name, created_at) VALUES ('from_the_new_one', CURRENT_TIMESTAMP)") }
    push_changed("queue") do |database|
      database.execute("INSERT INTO solid_queue_jobs (queue_name, class_name, arguments, priority, created_at, updated_at) " \
        "VALUES ('from_the_new_one', 'NewsJob', '{\"job_class\":\"NewsJob\",\"arguments\":[]}', 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)")
    end

    page = app.get("/jobs/applications/demo/queues")
    expect(page).to have_attributes(status: 200, body: a_string_including("from_the_new_one")), app.log_tail(15)
  end

  describe "Solid Cable" do
    let!(:client) { CableClient.new(app.port, "NewsChannel").tap { |subscriber| eventually { subscriber.subscribed? } } }

    after { client.close }

    def broadcast(*texts) = texts.each { |text| expect(app.post("/broadcast", text: text).status).to eq 204 }

    it "delivers every message after a swap to a database with lower ids" do
      broadcast("before")
      eventually { expect(client.received).to eq ["before"] }
      before = client.subscriptions

      2.times do |round|
        push_changed("cable", "--skip-schema-check") { |database| database.execute_batch("DELETE FROM solid_cable_messages; UPDATE sqlite_sequence SET seq = 0") }
        eventually { expect(client.subscriptions).to be > before + round }
        eventually { expect(client).to be_subscribed }
        said = Array.new(5) { |n| "round #{round}, word #{n}" }
        broadcast(*said)
        eventually { expect(client.received.last(5)).to match_array(said) }
      end
      expect(app.log).not_to match(/solid_cable.*(terminated|Error)/i)
    end
  end
end
