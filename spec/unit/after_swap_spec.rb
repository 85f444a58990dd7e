# frozen_string_literal: true

require "active_support"
require "active_support/notifications"
require_relative "unit_helper"

RSpec.describe Hotswap::AfterSwap do
  include_context "with hotswap in this process"

  let!(:database) { Hotswap.register(folder.join("app.sqlite3")) }

  def run = Hotswap.runtime.after_swap.run_beside(database, 1.8)

  it "calls the blocks in order, with the database, and returns at once" do
    told = Queue.new
    go = Queue.new
    Hotswap.after_swap { |which| go.pop && told << [1, which] }
    Hotswap.after_swap { |which| told << [2, which] }
    thread = run

    expect(told).to be_empty
    go << true
    thread.join
    expect(Array.new(2) { told.pop }).to eq [[1, database], [2, database]]
  end

  it "logs what a block raises, and continues with the next block" do
    done = []
    Hotswap.after_swap { raise "no cache there" }
    Hotswap.after_swap { raise NotImplementedError, "nor there" }
    Hotswap.after_swap { done << :last }
    run.join

    expect(done).to eq [:last]
    expect(log.string).to match(/ERROR .*after_swap of app\.sqlite3 failed: no cache there \(RuntimeError\) at .*after_swap_spec\.rb:\d+/)
      .and include("after_swap of app.sqlite3 failed: nor there (NotImplementedError)")
  end

  it "is a unit of work: the next swap waits for it, and can name it" do
    seen = nil
    Hotswap.after_swap { seen = [gate.running, gate.inside?] }
    run.join

    expect(seen).to match [[a_string_starting_with("after_swap of app.sqlite3 for")], true]
  end

  it "waits while the gate is closed" do
    done = []
    Hotswap.after_swap { done << :called }
    thread = with_closed_gate do
      run.tap { |waiting| eventually { waiting.status == "sleep" } && expect(done).to(be_empty) }
    end
    thread.join

    expect(done).to eq [:called]
  end

  it "finishes one swap before it starts with the next" do
    running = 0
    most = 0
    Hotswap.after_swap do
      most = [most, running += 1].max
      Thread.pass
      running -= 1
    end
    Array.new(20) { run }.each(&:join)

    expect(most).to eq 1
  end

  it "runs inside Rails' reloader" do
    order = []
    Hotswap.runtime.after_swap.surroundings = Class.new { define_method(:wrap) { |&block| order.push(:before).tap { block.call }.push(:after) } }.new
    Hotswap.after_swap { order << :block }
    run.join

    expect(order).to eq %i[before block after]
  end

  it "sends an event, which says which database it was and how long requests were held" do
    events = []
    ActiveSupport::Notifications.subscribed(->(event) { events << event }, "swap.hotswap") { run.join }

    expect(events.map { |event| [event.name, event.payload] }).to eq [["swap.hotswap", {database: database, held_ms: 1.8}]]
  end

  it "runs the blocks although a subscriber to the event fails" do
    done = []
    Hotswap.after_swap { done << :called }
    ActiveSupport::Notifications.subscribed(->(_event) { raise "no metrics there" }, "swap.hotswap") { run.join }

    expect(done).to eq [:called]
    expect(log.string).to match(/a subscriber of swap\.hotswap failed: no metrics there/)
  end

  it "starts no thread if there is no block" do
    expect(run).to be_nil
  end

  it "needs a block" do
    expect { Hotswap.after_swap }.to raise_error(ArgumentError, /block/)
  end
end
