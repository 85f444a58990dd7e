# frozen_string_literal: true

require "timeout"
require_relative "unit_helper"

RSpec.describe Hotswap::Gate, "while it is closed" do
  include_context "with hotswap in this process"

  it "makes new units wait, and lets them through afterwards" do
    waiting = with_closed_gate do
      threads = Array.new(3) { |n| waiting_thread { gate.pass("unit #{n}") { n } } }
      expect(inside).to eq 0
      threads
    end

    expect(waiting.map(&:value)).to eq [0, 1, 2]
  end

  it "does not block other threads" do
    ticks = 0
    with_closed_gate do
      waiting_thread { gate.pass("request") { nil } }
      ticker = Thread.new { loop { Thread.pass || ticks += 1 } }
      eventually { ticks > 1_000 }
      ticker.kill.join
    end
  end

  it "logs that a request waits, and that it resumes" do
    request = {"REQUEST_METHOD" => "POST", "PATH_INFO" => "/items"}
    thread = with_closed_gate { waiting_thread { gate.pass(request) { nil } } }
    thread.join

    expect(log.string.lines.map { |line| line.split(" : ", 2).last.chomp }).to eq [
      "[hotswap] request queued, waiting for swap to complete: POST /items", "[hotswap] swap complete, resuming request: POST /items"
    ]
  end

  it "logs nothing for other work and for requests that need not wait" do
    thread = with_closed_gate { waiting_thread { gate.pass("job") { nil } } }
    thread.join
    gate.pass({"REQUEST_METHOD" => "GET", "PATH_INFO" => "/"}) { nil }

    expect(log.string).to be_empty
  end

  it "forgets units that are killed while they wait" do
    with_closed_gate do
      threads = Array.new(5) { waiting_thread { gate.pass("request") { :inside } } }
      threads.each(&:kill).each(&:join)
    end

    expect(inside).to eq 0
  end

  it "lets Timeout end the wait" do
    with_closed_gate do
      expect { Timeout.timeout(0.05) { gate.pass("request") { nil } } }.to raise_error(Timeout::Error)
    end

    expect(inside).to eq 0
    expect(gate.pass("the next one in this thread") { inside }).to eq 1
  end

  describe "and a thread opens a database" do
    it "allows it while a unit is inside, which may need it to finish" do
      request = Thread.new { gate.pass("request") { Thread.stop } }
      eventually { inside == 1 }
      Hotswap::Native.close_gate
      expect(Thread.new { gate.open("opening a database") { inside } }.value).to eq 2
    ensure
      Hotswap::Native.reopen_gate
      request.kill.join
    end

    it "makes it wait if no unit is inside" do
      opened = false
      thread = with_closed_gate do
        waiting_thread { gate.open("opening a database") { opened = true } }.tap { expect(opened).to be false }
      end
      thread.join

      expect(opened).to be true
    end
  end
end
