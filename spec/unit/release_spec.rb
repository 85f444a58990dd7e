# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap, ".release" do
  include_context "with hotswap in this process"

  it "takes the caller's unit out of the gate during the block, and returns the block's value" do
    gate.pass("stream") do
      expect(described_class.release { [inside, gate.inside?] }).to eq [0, false]
      expect([inside, gate.inside?]).to eq [1, true]
    end
  end

  it "only runs the block outside a request, and needs a block" do
    expect(described_class.release { :done }).to eq :done
    expect { described_class.release }.to raise_error(ArgumentError)
  end

  it "counts the unit again if the block raises, throws or is killed" do
    gate.pass("stream") do
      expect { described_class.release { raise IOError, "left" } }.to raise_error(IOError)
      catch(:left) { described_class.release { throw :left } }
      expect([inside, gate.inside?]).to eq [1, true]
    end
    thread = waiting_thread { gate.pass("stream") { described_class.release { sleep } } }
    expect(inside).to eq 0
    thread.kill.join
    expect(inside).to eq 0
  end

  it "can be nested, and the request counts again only after the outer block" do
    gate.pass("stream") do
      described_class.release do
        described_class.release { expect(inside).to eq 0 }
        expect(inside).to eq 0
      end
      expect(inside).to eq 1
    end
  end

  it "counts work inside the block as a separate unit" do
    gate.pass("stream") do
      described_class.release do
        gate.pass("job") { expect(inside).to eq 1 }
        expect(inside).to eq 0
      end
      expect([inside, gate.inside?]).to eq [1, true]
    end
  end

  it "waits after the block while the gate is closed" do
    events = Queue.new
    go_on = Queue.new
    thread = Thread.new { gate.pass("stream") { described_class.release { go_on.pop } && events.push([inside, described_class::Native.gate_closed?]) } }
    with_closed_gate do
      go_on.push(true)
      eventually { thread.status == "sleep" }
      expect(events).to be_empty
    end
    expect(events.pop(timeout: 5)).to eq [1, false]
    thread.join
  end

  it "does not count a unit again that has ended meanwhile" do
    unit = gate.enter("stream")
    described_class.release { Thread.new { unit.leave }.join }
    expect([inside, gate.inside?]).to eq [0, false]
  end

  it "does nothing for a unit of the parent in a forked child" do
    gate.pass("stream") do
      expect(in_child { described_class.release { inside } && inside }).to eq 0
    end
  end

  it "does not affect the parent's unit in a child that is forked inside the block" do
    gate.pass("stream") do
      answer = nil
      described_class.release { answer = in_child { inside } }
      expect([answer, inside]).to eq [0, 1]
    end
  end

  it "releases the request while the caller sends its body" do
    seen = []
    stream = Class.new { define_method(:each) { |&block| block.call(Hotswap.release { Hotswap::Native.inside }) } }.new
    finished = []
    env = {"REQUEST_METHOD" => "GET", "PATH_INFO" => "/", "rack.response_finished" => finished}
    _, _, body = Hotswap::Middleware.new(->(_) { [200, {}, stream] }).call(env)

    body.each { |part| seen << part << inside }
    finished.each(&:call)
    expect(seen).to eq [0, 1]
    expect([inside, Thread.current[:hotswap_sending]]).to eq [0, nil]
  end

  it "releases a live action together with its request, and both come back even while the gate is closing" do
    request = gate.enter("request")
    waiting = gate::LiveActionRequest.new(request)
    waiting.rest
    closer = nil
    Thread.new do
      gate.open("live action") do |unit|
        unit.live_action_request = waiting
        Hotswap.release { expect(inside).to eq 0 }
        expect(inside).to eq 2
        Hotswap.release { closer = Thread.new { Hotswap::Native.close_gate && sleep(0.05) && Hotswap::Native.reopen_gate } }
        closer.join
        expect(inside).to eq 2
      end
    end.join
  ensure
    gate.leave(request)
  end

  it "does not release the request of a live action while its own thread runs application code" do
    request = gate.enter("request")
    waiting = request.as_live_action_request = gate::LiveActionRequest.new(request)
    waiting.rest
    words = Queue.new
    live = Thread.new do
      gate.open("live action") do |unit|
        unit.live_action_request = waiting
        described_class.release { words.pop }
      end
    end
    eventually { inside.zero? }
    waiting.go_on
    expect([inside, request.inside?]).to eq [1, true]
    request.step_aside
    expect(inside).to eq 0
    words.push("go on")
    live.join
    expect([inside, request.inside?]).to eq [1, true]
  ensure
    request.finish
  end

  it "counts the request again even if it is interrupted while it waits to come back" do
    inside_after = nil
    go_on = Queue.new
    thread = Thread.new do
      gate.pass("stream") do
        described_class.release { go_on.pop }
      rescue IOError
        inside_after = inside
      end
    end
    eventually { go_on.num_waiting == 1 }
    with_closed_gate do
      go_on.push(true)
      eventually { thread.status == "sleep" && go_on.num_waiting.zero? }
      thread.raise(IOError, "too late")
    end
    thread.join
    expect(inside_after).to eq 1
  end
end
