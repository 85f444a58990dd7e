# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Configuration do
  subject(:configuration) { described_class.new.tap { |configuration| configuration.root = "/srv/app" } }

  it "needs nothing to be set" do
    expect(configuration).to have_attributes(
      database_path: nil, database_paths: nil, chosen_databases: [],
      socket_path: "tmp/sockets/hotswap.sock", stderr_socket_path: "tmp/sockets/hotswap.stderr.sock",
      max_pause: 0.5, timeout: 30.0, low_priority: true, in_place: "auto"
    )
  end

  it "takes the folder that the process was started in for the application's root" do
    expect(described_class.new.root).to eq Dir.pwd
  end

  it "finds relative sockets below the application's root" do
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

  it "puts the stderr socket where it is told to" do
    configuration.stderr_socket_path = "/run/elsewhere.sock"
    configuration.socket_path = "/run/app.sock"

    expect(configuration.absolute_stderr_socket_path).to eq "/run/elsewhere.sock"
  end

  it "has chosen databases when one or several were set" do
    configuration.database_path = Pathname("db/app.sqlite3")
    configuration.database_paths = ["db/queue.sqlite3", "db/cache.sqlite3"]

    expect(configuration.chosen_databases).to eq %w[db/app.sqlite3 db/queue.sqlite3 db/cache.sqlite3]
  end

  %i[max_pause timeout].each do |setting|
    [2, 0.25, "1.5", 3r].each do |seconds|
      it "takes #{seconds.inspect} for #{setting}" do
        configuration.public_send(:"#{setting}=", seconds)

        expect(configuration.public_send(setting)).to be_a(Float).and eq Float(seconds)
      end
    end

    [0, -1, "soon", "", nil, Float::INFINITY, Float::NAN, :long, [1]].each do |nonsense|
      it "does not take #{nonsense.inspect} for #{setting}, says so, and keeps what it had" do
        before = configuration.public_send(setting)

        expect { configuration.public_send(:"#{setting}=", nonsense) }
          .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.#{setting} .* not #{Regexp.escape(nonsense.inspect)}/)
        expect(configuration.public_send(setting)).to eq before
      end
    end
  end

  it "copies and checks with haste where it is told to, and takes nothing but true and false for it" do
    configuration.low_priority = false
    expect(configuration.low_priority).to be false

    [nil, "false", 0, :low].each do |nonsense|
      expect { configuration.low_priority = nonsense }
        .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.low_priority .* not #{Regexp.escape(nonsense.inspect)}/)
    end
    expect(configuration.low_priority).to be false
  end

  [:auto, "always", :never].each do |choice|
    it "takes #{choice.inspect} for in_place" do
      configuration.in_place = choice

      expect(configuration.in_place).to eq choice.to_s
    end
  end

  [nil, true, "sometimes", ""].each do |nonsense|
    it "does not take #{nonsense.inspect} for in_place, says so, and keeps what it had" do
      expect { configuration.in_place = nonsense }
        .to raise_error(Hotswap::ConfigurationError, /config\.hotswap\.in_place is one of .* not #{Regexp.escape(nonsense.inspect)}/)
      expect(configuration.in_place).to eq "auto"
    end
  end
end
