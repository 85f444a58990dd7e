# frozen_string_literal: true

RSpec.describe "activerecord-enhancedsqlite3-adapter", lane: "rails_7_1" do
  def boot(settings)
    boot_app(workers: 2) do |server|
      application = server.root.join("config/application.rb")
      application.write(application.read.sub("Bundler.require(*Rails.groups)", "\\0\nrequire \"activerecord-enhancedsqlite3-adapter\""))
      yaml = server.root.join("config/database.yml")
      # One database, as its separate pools for reading and writing expect.
      yaml.write("production:\n  adapter: sqlite3\n  database: storage/production.sqlite3\n  pool: 5\n  timeout: 5000\n")
      server.root.join("app/models").glob("{queue,cache,errors,reported}*.rb").each(&:delete)
      # Where the pools are apart, who writes says so.
      server.write("config/initializers/writes.rb", <<~RUBY)
        Rails.application.config.to_prepare do
          ItemsController.around_action { |_, action| ActiveRecord::Base.connected_to(role: :writing, &action) }
        end
      RUBY
      # It tags what it logs, as the logger that Rails generates can.
      production = server.root.join("config/environments/production.rb")
      production.write(production.read.sub("ActiveSupport::Logger.new($stdout)", "ActiveSupport::TaggedLogging.new(\\0)"))
      application.write(application.read.sub(/^    config\.load_defaults.*$/) { |line| "#{line}\n#{settings}" })
    end
  end

  {"as it is" => "", "with separate pools for reading and writing" => "    config.enhanced_sqlite3.isolate_connection_pools = true"}.each do |how, settings|
    it "#{how} is swapped under writes" do
      app = boot(settings)
      expect(app.version).to eq "v1"
      writes = Thread.new { Array.new(20) { |n| app.post("/items", token: "token-#{n}").status } }
      pushed = Array.new(3) { |n| app.hotswap("cp", app.databases.release("r#{n}"), "database") }

      expect(pushed.map(&:exit_code)).to eq([0, 0, 0]), pushed.map(&:stderr).join
      expect(writes.value.tally).to eq(201 => 20)
      expect(Array.new(10) { app.version }.uniq).to eq ["r2"]
    end
  end
end
