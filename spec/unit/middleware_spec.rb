# frozen_string_literal: true

require "timeout"
require_relative "unit_helper"

RSpec.describe Hotswap::Middleware do
  include_context "with hotswap in this process"

  def env(path = "/items", **more) = {"REQUEST_METHOD" => "GET", "PATH_INFO" => path}.merge(more.transform_keys(&:to_s))

  # A body that the application still has to produce.
  def stream(*parts) = parts.each

  # Calls the middleware around an application that returns the block's value.
  def call(env = env(), &application) = described_class.new(application).call(env)

  it "changes only the body of the response" do
    status, headers, body = call { |_| [201, {"x-test" => "1"}, stream("a", "b")] }

    expect([status, headers]).to eq [201, {"x-test" => "1"}]
    expect(body.enum_for(:each).to_a).to eq %w[a b]
    body.close
  end

  it "keeps the request inside until its body is closed" do
    _, _, body = call { |_| [200, {}, stream(inside.to_s)] }

    expect(inside).to eq 1
    expect(body.enum_for(:each).to_a).to eq ["1"]
    expect(inside).to eq 1
    body.close
    expect(inside).to eq 0
  end

  it "returns an array untouched, and ends the request at once" do
    array = ["a"]
    status, headers, body = call { |_| [201, {"x-test" => inside.to_s}, array] }

    expect([status, headers]).to eq [201, {"x-test" => "1"}]
    expect(body).to be array
    expect(inside).to eq 0
    expect(Hotswap::Middleware::SWAP_LOCK.try_lock).to be true
    Hotswap::Middleware::SWAP_LOCK.unlock
  end

  it "keeps the request inside until an array is closed that has to be closed" do
    closed = false
    array = ["a"].tap { |body| body.define_singleton_method(:close) { closed = true } }
    _, _, body = call { |_| [200, {}, array] }

    expect(inside).to eq 1
    body.close
    expect([closed, inside]).to eq [true, 0]
  end

  it "keeps the request inside until rack.response_finished, if the server supports it" do
    order = []
    finished = [proc { order << inside }]
    _, _, body = call(env("rack.response_finished": finished)) { |_| [200, {}, ["a"]] }

    expect(body).to eq ["a"]
    expect(inside).to eq 1
    # As servers do: the last first, with what they know of the request.
    finished.reverse_each { |callback| callback.call({}, 200, {}, nil) }
    expect(order).to eq [1]
    expect(inside).to eq 0
  end

  it "ends the request if the application raises" do
    expect { call { raise IOError, "broken" } }.to raise_error(IOError, "broken")
    expect(inside).to eq 0
  end

  it "ends the request once if the application raises and the server also finishes the response" do
    finished = []
    expect { call(env("rack.response_finished": finished)) { raise IOError } }.to raise_error(IOError)
    other = gate.enter("another")
    finished.each { |callback| callback.call({}, 500, {}, nil) }

    expect(inside).to eq 1
    gate.leave(other)
  end

  it "ends the request if the application throws, is killed or times out" do
    catch(:async) { call { throw :async } }
    waiting_thread { call { Thread.stop } }.kill.join
    expect { Timeout.timeout(0.02) { call { sleep } } }.to raise_error(Timeout::Error)

    expect(inside).to eq 0
  end

  it "counts a thread's next request even if the server did not close a body" do
    running = Thread.new do
      call(env("/forgotten")) { [200, {}, stream("forgotten")] } and GC.start
      _, _, body = call(env("/next")) { [200, {}, stream] }
      gate.running.tap { body.close }
    end

    expect(running.value).to include(a_string_starting_with("GET /next for "))
  end

  it "counts a request inside a request once" do
    counts = []
    _, _, body = call do
      status, headers, inner = call(env("/inner")) { counts << inside and [200, {}, stream("inner")] }
      counts << inside
      [status, headers, inner]
    end

    expect(counts).to eq [1, 1]
    body.close
    expect(inside).to eq 0
  end

  it "makes requests wait while the gate is closed" do
    reached = false
    request = with_closed_gate do
      waiting_thread { call { [(reached = true) && 200, {}, []] } }
        .tap { expect(reached).to be false }
    end

    expect(request.value.first).to eq 200
  end

  it "answers 503 after the longest possible swap, and does not call the application" do
    Hotswap.configuration.max_pause = 0.001
    with_closed_gate do
      job = waiting_thread { gate.pass("job") { raise "ran" } }
      status, headers, body = call { raise "called" }

      expect(status).to eq 503
      expect(headers).to include("retry-after" => "1", "content-type" => "text/plain")
      expect(body.join).to include("hotswap")
      expect { job.join }.to raise_error(Hotswap::GateTimeout, /longer than any swap/)
    end
  end
end
