# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Gate, "in the fibers of a reactor" do
  include_context "with hotswap in this process"

  it "makes one fiber wait without stopping the others" do
    events = []
    expect(Hotswap::Native.close_gate).to be true
    Reactor.run do
      Fiber.schedule { gate.pass("request") { events << :inside } }
      Fiber.schedule do
        3.times { sleep 0.001 and events << :elsewhere }
        Hotswap::Native.reopen_gate
      end
    end

    expect(events).to eq [:elsewhere, :elsewhere, :elsewhere, :inside]
  ensure
    Hotswap::Native.reopen_gate
  end

  it "counts each fiber separately" do
    most = 0
    Reactor.run do
      5.times do
        Fiber.schedule do
          gate.pass("request") do
            sleep 0.001
            most = [most, inside].max
            expect(gate.enter("in it")).to be_nil
          end
        end
      end
    end

    expect(most).to eq 5
    expect(inside).to eq 0
  end

  it "can be left by another fiber, as at the end of a streamed body" do
    Reactor.run do
      unit = nil
      Fiber.schedule { unit = gate.enter("request") }
      Fiber.schedule { gate.leave(unit) }
    end

    expect(inside).to eq 0
  end

  it "gives the swap lock to a fiber without stopping the others" do
    events = []
    Reactor.run do
      Fiber.schedule { gate.pass("request") { sleep(0.002) and events << :request } }
      Fiber.schedule { Hotswap::Middleware::SWAP_LOCK.synchronize { events << :at_rest } }
    end

    expect(events).to eq [:request, :at_rest]
  end
end
