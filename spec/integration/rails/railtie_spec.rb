# frozen_string_literal: true

RSpec.describe "hotswap in a Rails application" do
  around do |example|
    RailsApp.in_a_folder do |app|
      @app = app
      example.run
    end
  end

  attr_reader :app

  it "needs only the gem: it adds the middleware, the logger and the databases of database.yml" do
    expect(app.evaluate(<<~RUBY)).to eq(
      {
        middleware: Rails.application.middleware.first.name,
        logger: Hotswap.logger.equal?(Rails.logger),
        databases: Hotswap.databases.map { |it| [it.name, it.label] },
        socket: Hotswap.socket_path, stderr_socket: Hotswap.stderr_socket_path
      }
    RUBY
      "middleware" => "Hotswap::Middleware", "logger" => true,
      "databases" => [
        ["primary", "storage/production.sqlite3"], ["queue", "storage/production-queue.sqlite3"],
        ["cache", "storage/production-cache.sqlite3"], ["errors", "storage/production-errors.sqlite3"]
      ],
      "socket" => app.root.join("tmp/sockets/hotswap.sock").to_s,
      "stderr_socket" => app.root.join("tmp/sockets/hotswap.stderr.sock").to_s
    )
  end

  it "does not change the order of Rails' initializers" do
    with, without = app.evaluate(<<~RUBY)
      [Rails.application.initializers, Rails.application.initializers.reject { |it| it.name.to_s.start_with?("hotswap") }].map do |all|
        Rails::Initializable::Collection.new(all).tsort_each.map { |it| it.name.to_s + " of " + it.context_class.to_s }
      end
    RUBY

    expect(with.grep(/\Ahotswap/)).not_to be_empty
    expect(with.grep_v(/\Ahotswap/)).to eq without
  end

  it "reads every setting from config.hotswap, and manages only the chosen databases" do
    app.write("config/initializers/hotswap.rb", <<~RUBY)
      Rails.application.configure do
        config.hotswap.database_paths = ["storage/production-cache.sqlite3", Rails.root.join("storage/production.sqlite3")]
        config.hotswap.socket_path = "tmp/my.sock"
        config.hotswap.max_pause = 0.25.seconds
        config.hotswap.timeout = 1.minute
      end
    RUBY

    expect(app.evaluate("[Hotswap.databases.map { |it| [it.name, it.label] }, Hotswap.database_path, Hotswap.socket_path, " \
      "Hotswap.stderr_socket_path, Rails.application.config.hotswap[:max_pause], Hotswap.configuration.timeout]")).to eq [
        [["cache", "storage/production-cache.sqlite3"], ["primary", "storage/production.sqlite3"]],
        app.root.join("storage/production-cache.sqlite3").to_s,
        app.root.join("tmp/my.sock").to_s, app.root.join("tmp/my.stderr.sock").to_s, 0.25, 60.0
      ]
  end

  it "uses the database and the logger that the environment's configuration chooses" do
    app.write("config/environments/production.rb", app.root.join("config/environments/production.rb").read.sub(/^end\s*\z/, <<~RUBY))
        config.hotswap.database_path = "storage/elsewhere.sqlite3"
        config.hotswap.stderr_socket_path = "/run/elsewhere.stderr.sock"
        config.hotswap.logger = Logger.new("hotswap.log", progname: "ours")
      end
    RUBY

    expect(app.evaluate("[Hotswap.databases.map { |it| [it.name, it.label] }, Hotswap.stderr_socket_path, Hotswap.logger.progname]"))
      .to eq [[[nil, "storage/elsewhere.sqlite3"]], "/run/elsewhere.stderr.sock", "ours"]
  end

  it "names an invalid setting at boot" do
    app.write("config/initializers/hotswap.rb", "Rails.application.config.hotswap.max_pause = 'half a second'")

    expect { app.evaluate("1") }.to raise_error(RailsApp::Failed, /config\.hotswap\.max_pause must be a number of seconds above zero, not "half a second"/)
  end

  it "finds every kind of path in database.yml, and skips replicas and in-memory databases" do
    app.write("config/database.yml", <<~YAML)
      production:
        primary:
          adapter: sqlite3
          database: storage/production.sqlite3
        primary_replica:
          adapter: sqlite3
          database: storage/production.sqlite3
          replica: true
        reports_replica:
          adapter: sqlite3
          database: storage/reports.sqlite3
          replica: true
        queue:
          url: sqlite3:storage/production-queue.sqlite3
        cache:
          url: "sqlite3:<%= File.expand_path("../storage/production-cache.sqlite3", __dir__) %>?pool=3"
          database_tasks: false
        errors:
          adapter: sqlite3
          database: <%= File.expand_path("../storage/production-errors.sqlite3", __dir__) %>
        by_uri:
          adapter: sqlite3
          database: file:storage/by-uri.sqlite3?mode=rwc
        memory:
          adapter: sqlite3
          database: ":memory:"
        shared_memory:
          adapter: sqlite3
          database: file::memory:?cache=shared
        custom:
          adapter: my_sqlite3
          database: storage/custom.sqlite3
        lite:
          adapter: litedb
          database: storage/lite.sqlite3
        other:
          adapter: postgresql
          database: other
      development:
        primary:
          adapter: sqlite3
          database: storage/development.sqlite3
    YAML

    expect(app.evaluate("Hotswap.databases.map { |it| [it.name, it.label] }")).to eq [
      ["primary", "storage/production.sqlite3"], ["queue", "storage/production-queue.sqlite3"],
      ["cache", "storage/production-cache.sqlite3"], ["errors", "storage/production-errors.sqlite3"],
      ["by_uri", "storage/by-uri.sqlite3"], ["custom", "storage/custom.sqlite3"]
    ]
  end

  it "follows DATABASE_URL" do
    expect(app.evaluate("Hotswap.databases.map { |it| [it.name, it.label] }.first",
      env: {"DATABASE_URL" => "sqlite3:storage/from-url.sqlite3?pool=3"})).to eq ["primary", "storage/from-url.sqlite3"]
  end

  it "manages the database that Active Record connects to" do
    expect(app.evaluate("ActiveRecord::Base.connection_pool.with_connection { |it| it.execute('SELECT 1') && Hotswap::Native.memberships }"))
      .to eq [app.root.join("storage/production.sqlite3").to_s]
  end

  it "works in an application without Active Record" do
    %w[config/application.rb config/environments/production.rb].each do |file|
      app.write(file, app.root.join(file).read.lines.grep_v(/active_record|active_job|solid_queue/).join)
    end
    app.root.join("app").rmtree
    app.root.join("config/database.yml").delete
    app.write("config/routes.rb", "Rails.application.routes.draw { }")

    expect(app.evaluate("[Hotswap.databases.to_a, defined?(ActiveRecord::Base)]")).to eq [[], nil]
  end

  describe "without a web server" do
    # The threads of the process, and what it has put where the sockets would be.
    probe = "[Dir['/proc/self/task/*/comm'].map { |it| File.read(it).chomp }.grep(/hotswap-server/), Dir.children('tmp/sockets')]"

    before { app.root.join("tmp/sockets").mkpath }

    it "does not serve in the runner" do
      expect(app.evaluate("Release.current && #{probe}")).to eq [[], []]
    end

    it "does not serve in the console" do
      said = app.rails("console", stdin_data: "Release.current\nputs 'probed: ' + #{probe}.inspect\n")

      expect(said).to include("probed: [[], []]")
    end

    it "does not serve in tasks" do
      app.write("lib/tasks/probe.rake", "task(probe: :environment) { Release.current and puts #{probe}.inspect }")

      expect(app.rails("probe")).to include("[[], []]")
    end
  end
end
