# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Configuration do
  include_context "with hotswap in this process"

  subject(:configuration) { described_class.new.tap { |configuration| configuration.root = "/srv/app" } }

  it "has a default for every setting" do
    expect(configuration).to have_attributes(
      database_path: nil, database_paths: nil, chosen_databases: [],
      socket_path: "tmp/sockets/hotswap.sock", stderr_socket_path: "tmp/sockets/hotswap.stderr.sock",
      max_pause: 0.5, timeout: 30.0, low_priority: true, in_place: "auto", keep: 1, max_shrink: nil, tables: {}, pull: "plain", dashboard_actions: false
    )
  end

  it "uses the current folder as the root by default" do
    expect(described_class.new.root).to eq Dir.pwd
  end

  it "resolves relative sockets against the root" do
    expect(configuration).to have_attributes(
      absolute_socket_path: "/srv/app/tmp/sockets/hotswap.sock",
      absolute_stderr_socket_path: "/srv/app/tmp/sockets/hotswap.stderr.sock"
    )
  end

  {
    "run/app.sock" => "run/app.stderr.sock",
    "/run/app.sock" => "/run/app.stderr.sock",
    "/run/app" => "/run/app.stderr",
    Pathname("/run/my.socket") => "/run/my.socket.stderr"
  }.each do |socket, stderr_socket|
    it "puts the stderr socket of #{socket} at #{stderr_socket}" do
      configuration.socket_path = socket

      expect(configuration.stderr_socket_path).to eq stderr_socket
    end
  end

  it "uses the configured stderr socket" do
    configuration.stderr_socket_path = "/run/elsewhere.sock"
    configuration.socket_path = "/run/app.sock"

    expect(configuration.absolute_stderr_socket_path).to eq "/run/elsewhere.sock"
  end

  it "has chosen databases if one or several are set" do
    configuration.database_path = Pathname("db/app.sqlite3")
    configuration.database_paths = ["db/queue.sqlite3", "db/cache.sqlite3"]

    expect(configuration.chosen_databases).to eq %w[db/app.sqlite3 db/queue.sqlite3 db/cache.sqlite3]
  end

  it "takes a block as the probe, which a process without the application forgets" do
    probe = Hotswap::Probe.new
    allow(Hotswap.runtime).to receive(:probe).and_return(probe)
    expect { configuration.probe }.to raise_error(ArgumentError, /\Aconfig\.hotswap\.probe needs a block/)
    configuration.probe { false }

    expect(probe).to be_any
    probe.forget
    expect(probe).not_to be_any
  end

  it "is read and written by name" do
    configuration[:timeout] = 5
    configuration["socket_path"] = "run/app.sock"

    expect([configuration["timeout"], configuration[:socket_path], configuration.socket_path]).to eq [5.0, "run/app.sock", "run/app.sock"]
  end

  it "lists the settings if one does not exist" do
    settings = "database_path, database_paths, socket_path, stderr_socket_path, max_pause, timeout, low_priority, in_place, max_shrink, keep, probe_timeout, tables, pull, dashboard_actions, root, logger"
    [
      -> { configuration.max_puase = 1 }, -> { configuration.max_puase }, -> { configuration[:max_puase] }, -> { configuration["max_puase"] = 1 }
    ].each do |mistake|
      expect(&mistake).to raise_error(Hotswap::ConfigurationError, "config.hotswap has no setting max_puase. The settings are #{settings}")
    end
    expect(configuration).not_to respond_to(:max_puase)
  end

  it "sets the sockets and the logger of Hotswap" do
    logger = Logger.new(log)
    Hotswap.configure { |config| config.logger = logger }
    Hotswap.socket_path = "run/app.sock"

    expect(Hotswap).to have_attributes(logger: logger, socket_path: folder.join("run/app.sock").to_s, stderr_socket_path: folder.join("run/app.stderr.sock").to_s)
    Hotswap.stderr_socket_path = Pathname("/run/errors.sock")
    expect(Hotswap.stderr_socket_path).to eq "/run/errors.sock"
  end

  %i[max_pause timeout].each do |setting|
    [2, 0.25, "1.5", 3r].each do |seconds|
      it "accepts #{seconds.inspect} for #{setting}" do
        configuration.public_send(:"#{setting}=", seconds)

        expect(configuration.public_send(setting)).to be_a(Float).and eq Float(seconds)
      end
    end

    [0, -1, "soon", "", nil, Float::INFINITY, Float::NAN, :long, [1]].each do |nonsense|
      it "rejects #{nonsense.inspect} for #{setting}, and keeps the old value" do
        before = configuration.public_send(setting)

        expect { configuration.public_send(:"#{setting}=", nonsense) }
          .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.#{setting} .* not #{Regexp.escape(nonsense.inspect)}/)
        expect(configuration.public_send(setting)).to eq before
      end
    end
  end

  {low_priority: true, dashboard_actions: false}.each do |setting, default|
    it "accepts only true and false for #{setting}" do
      configuration.public_send(:"#{setting}=", !default)
      expect(configuration.public_send(setting)).to be !default

      [nil, "false", 0, :low].each do |nonsense|
        expect { configuration.public_send(:"#{setting}=", nonsense) }
          .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.#{setting} .* not #{Regexp.escape(nonsense.inspect)}/)
      end
      expect(configuration.public_send(setting)).to be !default
    end
  end

  [:auto, "always", :never].each do |choice|
    it "accepts #{choice.inspect} for in_place" do
      configuration.in_place = choice

      expect(configuration.in_place).to eq choice.to_s
    end
  end

  [nil, true, "sometimes", ""].each do |nonsense|
    it "rejects #{nonsense.inspect} for in_place, and keeps the old value" do
      expect { configuration.in_place = nonsense }
        .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.in_place must be one of .* not #{Regexp.escape(nonsense.inspect)}/)
      expect(configuration.in_place).to eq "auto"
    end
  end

  {"50%" => 50.0, 12.5 => 12.5, "0" => 0.0, nil => nil}.each do |choice, part|
    it "accepts #{choice.inspect} for max_shrink" do
      configuration.max_shrink = choice

      expect(configuration.max_shrink).to eq part
    end
  end

  ["", "half", -1, "101%", true].each do |nonsense|
    it "rejects #{nonsense.inspect} for max_shrink" do
      expect { configuration.max_shrink = nonsense }
        .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.max_shrink must be a percentage from 0% to 100%, not #{Regexp.escape(nonsense.inspect)}/)
    end
  end

  it "accepts lists of tables by name" do
    configuration.tables = {:content => [:articles, "tag*"], "private" => ["users"]}

    expect(configuration.tables).to eq("content" => %w[articles tag*], "private" => ["users"])
  end

  [nil, ["articles"], {content: "articles"}, {content: []}, {content: ["@private"]}, {content: [""]}].each do |nonsense|
    it "rejects #{nonsense.inspect} for tables, and keeps the old value" do
      expect { configuration.tables = nonsense }
        .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.tables must be lists of tables by name.* not #{Regexp.escape(nonsense.inspect)}/)
      expect(configuration.tables).to eq({})
    end
  end

  [:redacted, "plain"].each do |choice|
    it "accepts #{choice.inspect} for pull" do
      configuration.pull = choice

      expect(configuration.pull).to eq choice.to_s
    end
  end

  [nil, true, "redact"].each do |nonsense|
    it "rejects #{nonsense.inspect} for pull" do
      expect { configuration.pull = nonsense }
        .to raise_error(Hotswap::ConfigurationError, "config.hotswap.pull must be one of plain, redacted, not #{nonsense.inspect}")
    end
  end

  it "collects what a redacted pull leaves out or replaces" do
    configuration.redact "users", {"age" => 0}, email: "'user' || id", phone: nil
    configuration.redact :sessions, :rows, database: :cache
    configuration.redact "jobs", {"database" => "'x'"}
    configuration.redact_with Pathname("db/redact.sql")
    configuration.redact_with "/etc/redact.sql", database: "cache"
    Hotswap.configuration.root = "/srv/app"

    expect(configuration.redaction.to_settings).to eq(
      redact: [
        {database: nil, table: "users", columns: {"age" => "0", "email" => "'user' || id", "phone" => "NULL"}},
        {database: "cache", table: "sessions", columns: nil},
        {database: nil, table: "jobs", columns: {"database" => "'x'"}}
      ],
      redact_with: [{database: nil, path: "/srv/app/db/redact.sql"}, {database: "cache", path: "/etc/redact.sql"}]
    )
  end

  {
    ["users"] => {}, ["users", :row] => {}, ["users", {}] => {}, ["", :rows] => {}, [nil, :rows] => {}, ["users", :rows] => {email: "'x'"},
    ["users", {"email" => " "}] => {}, ["users", "email"] => {}, ["users", {"email" => true}] => {}
  }.each do |arguments, columns|
    it "rejects redact with #{arguments.inspect} and #{columns.inspect}" do
      expect { configuration.redact(*arguments, **columns) }.to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.redact needs .*, not /)
    end
  end
end
