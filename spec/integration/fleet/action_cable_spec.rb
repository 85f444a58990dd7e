# frozen_string_literal: true

require_relative "support/cable_client"
require_relative "support/fleet"

# Quiet, because each push gives up after two seconds.
RSpec.describe "Action Cable", :fleet, :quiet do
  code = <<~RUBY
    Rails.application.config.hotswap.timeout = 2
    Rails.application.config.hotswap.max_pause = 0.3
    Rails.application.config.action_cable.disable_request_forgery_protection = true

    Rails.application.config.to_prepare do
      next if defined?(ItemsChannel)

      class ::ItemsChannel < ActionCable::Channel::Base
        def subscribed = stream_from("releases")
        def write(data) = transmit(Item.write!(name: "cable", token: data["token"]).merge(pid: Process.pid))
        def introduce = transmit({process: Process.pid})
        def announce = ActionCable.server.broadcast("releases", {announced: Release.current})
        # Closes the gate as a swap does, until a command was sent and for a moment more.
        def close_gate
          Thread.new do
            Hotswap::Middleware::SWAP_LOCK.synchronize do
              File.write("tmp/closed", "")
              sleep 0.01 until File.exist?("tmp/sent")
              sleep 0.2
              transmit({opened: Process.clock_gettime(Process::CLOCK_MONOTONIC)})
            end
          end
        end
        def rest
          transmit({resting: true})
          sleep 0.02 until File.exist?("tmp/woken")
          transmit({rested: Release.current})
        end
      end
    end
  RUBY

  def self.with_cable(server)
    application = server.root.join("config/application.rb").read
    server.write("config/application.rb", application.sub(/(?=Bundler.require)/, %(require "action_cable/engine"\n\n)))
    server.write("config/cable.yml", "production:\n  adapter: async\n")
  end

  running_app(workers: 2, initializer: code) { |server| with_cable(server) }

  before(:context) { @generations = Generations.new(app) }

  attr_reader :generations

  def client = CableClient.new(app.port, "ItemsChannel").tap { |one| (@clients ||= []) << one }

  after { @clients&.each(&:close) }

  # Four at least, and as many as it takes: which process gets a connection is chance.
  def clients_of_both_processes
    processes = {}
    until processes.size >= 4 && processes.values.uniq.size == 2
      one = client
      one.perform("introduce")
      processes[one] = one.answer { |answer| answer["process"] }.fetch("process")
    end
    processes.keys
  end

  # So many commands in all, one after the other, each client's in turn. Returns when each was sent.
  def write_until(over, clients)
    sent = {}
    until over.closed?
      token = "cable-#{@generations.live}-#{sent.size}"
      sent[token] = Eventually.now
      clients[sent.size % clients.size].perform("write", token: token)
      over.pop(timeout: 0.01)
    end
    sent
  end

  def verdict(sent, answers)
    visits = answers.map do |answer|
      began = sent.fetch(answer["token"])
      Visitors::Visit.new(kind: "post", due: began, started: began, ended: answer["ended"], status: 201,
        version: answer["version"], pid: answer["pid"], id: answer["id"], token: answer["token"])
    end
    generations.verdict(Visitors::Report.new(visits, started: nil, stopped: nil))
  end

  it "loses no command and no subscriber during swaps, and then reads the new data" do
    clients = clients_of_both_processes
    over = Queue.new
    writing = Thread.new { write_until(over, clients) }

    swap(generations, 5)
    over.close
    sent = writing.value

    answers = eventually { clients.flat_map(&:answers).select { |answer| answer["token"] }.then { |all| all if all.size == sent.size } }
    expect(verdict(sent, answers).broken).to eq []
    expect(answers.map { |answer| answer["pid"] }.uniq.size).to eq 2
    clients.each { |one| one.perform("announce") }
    clients.each { |one| one.answer { |answer| answer["announced"] == generations.live } }
    expect(clients).to all(be_connected)
  end

  it "makes a command wait while the gate is closed" do
    waiting = client
    waiting.perform("close_gate")
    eventually { app.root.join("tmp/closed").exist? }
    waiting.perform("write", token: "while the gate is closed")
    app.write("tmp/sent", "")

    opened = waiting.answer { |answer| answer["opened"] }.fetch("opened")
    expect(waiting.answer { |answer| answer["token"] }.fetch("ended")).to be > opened
  end

  it "has a long command named by the refused push, and no other command waits for it" do
    resting = client
    # In a process that has not opened the database yet, it would not block the push.
    resting.perform("write", token: "awake")
    resting.answer { |answer| answer["token"] }
    resting.perform("rest")
    resting.answer { |answer| answer["resting"] }

    refused = nil
    verdict = visited(app, generations) { refused = generations.push(version: "never") }
    # Before anything can fail: the command would be in the way of every other example.
    app.write("tmp/woken", "")

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(/process \d+.*: command to ItemsChannel for \d+\.\d s/)
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8

    resting.answer { |answer| answer["rested"] }
    swap(generations, 1)
  end
end
