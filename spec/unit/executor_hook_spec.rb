# frozen_string_literal: true

require "active_support"
require "active_support/executor"
require_relative "unit_helper"
require "hotswap/rails/executor_hook"

RSpec.describe Hotswap::ExecutorHook do
  include_context "with hotswap in this process"

  # Rails' own, of which an application's is a subclass like this one.
  let(:executor) { Class.new(ActiveSupport::Executor).tap { |executor| executor.prepend(described_class) } }

  it "counts work as one unit, however deeply it is wrapped" do
    executor.wrap { executor.wrap { expect(inside).to eq 1 } }

    expect(inside).to eq 0
  end

  it "does not count work inside a request again" do
    middleware = Hotswap::Middleware.new(->(_) { executor.wrap { [200, {}, [inside.to_s]] } })
    _, _, body = middleware.call({})

    expect(body.to_ary).to eq ["1"]
    expect(inside).to eq 0
  end

  it "counts each thread separately" do
    executor.wrap do
      expect(Thread.new { executor.wrap { inside } }.value).to eq 2
    end
  end

  it "does not drift if Rails completes an execution twice" do
    3.times do
      outer = executor.run!
      inner = executor.run!(reset: true)
      inner.complete!
      outer.complete!
    end

    expect(inside).to eq 0
    executor.wrap { expect(inside).to eq 1 }
  end

  it "ends the unit if the work raises or its thread is killed" do
    expect { executor.wrap { raise IOError } }.to raise_error(IOError)
    waiting_thread { executor.wrap { Thread.stop } }.kill.join

    expect(inside).to eq 0
  end

  it "makes work wait, and not fail, while the gate is closed" do
    done = false
    job = with_closed_gate { waiting_thread { executor.wrap { done = true } }.tap { expect(done).to be false } }
    job.join

    expect(done).to be true
  end

  it "knows which thread is working" do
    job = waiting_thread do
      Thread.current.name = "worker-1"
      executor.wrap { Thread.stop }
    end

    expect(gate.running).to match [/\Awork in worker-1 for/]
    job.kill.join
  end
end
