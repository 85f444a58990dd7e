# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Gate do
  include_context "with hotswap in this process"

  it "lets several units in at once" do
    arrived = Queue.new
    leave = Queue.new
    threads = Array.new(5) { |n| Thread.new { gate.pass("unit #{n}") { arrived.push(n) && leave.pop } } }
    5.times { arrived.pop(timeout: 5) }

    expect(inside).to eq 5
    leave.close
    threads.each(&:join)
    expect(inside).to eq 0
  end

  it "does not count a unit inside another one" do
    gate.pass("request") do
      expect(gate.enter("job in the request")).to be_nil
      gate.pass("another") { expect(inside).to eq 1 }
      expect(gate).to be_inside
    end
    expect(gate).not_to be_inside
  end

  it "shows a thread's work by its current name, and a request as a request" do
    Thread.new do
      gate.pass(Thread.current) do
        expect(gate.name_unit("job ReportJob") { gate.running }).to match [/\Ajob ReportJob for \d+\.\d s\z/]
        expect(gate.running).to match [/\Awork in a thread for/]
      end
    end.join
    gate.pass({"REQUEST_METHOD" => "GET", "PATH_INFO" => "/reports"}) do
      expect(gate.name_unit("job ReportJob") { gate.running }).to match [%r{\AGET /reports for}]
    end
    expect(gate.name_unit("job ReportJob") { gate.running }).to eq []
  end

  it "lets a unit inside another one pass while the gate is closing" do
    gate.pass("request") do
      Hotswap::Native.close_gate
      expect(gate.pass("job in the request") { :done }).to eq :done
    ensure
      Hotswap::Native.reopen_gate
    end
  end

  it "counts a thread that a unit starts as a separate unit" do
    gate.pass("request") do
      inner = Thread.new { [gate.inside?, gate.pass("thread") { inside }] }

      expect(inner.value).to eq [false, 2]
    end
  end

  it "counts a thread that shares the request's fiber-locals as a separate unit, as ActionController::Live does" do
    gate.pass("request") do
      locals = Thread.current.keys.to_h { |key| [key, Thread.current[key]] }
      inner = Thread.new do
        locals.each { |key, value| Thread.current[key] = value }
        [gate.inside?, gate.pass("live") { inside }]
      end

      expect(inner.value).to eq [false, 2]
    end
  end

  it "counts a fiber that a unit starts as a separate unit" do
    gate.pass("request") do
      inner = Fiber.new { [gate.inside?, gate.pass("fiber") { inside }] }

      expect(inner.resume).to eq [false, 2]
      expect(gate).to be_inside
    end
  end

  it "can be left by another thread than the one that entered" do
    unit = gate.enter("request")
    Thread.new { gate.leave(unit) }.join

    expect(inside).to eq 0
    expect(gate).not_to be_inside
  end

  it "is left only once" do
    other = Thread.new { gate.enter("another") }.value
    unit = gate.enter("request")
    2.times { gate.leave(unit) }
    gate.leave(nil)

    expect(inside).to eq 1
    gate.leave(other)
  end

  it "is left if the block raises or throws" do
    expect { gate.pass("request") { raise "broken" } }.to raise_error("broken")
    catch(:halt) { gate.pass("request") { throw :halt } }

    expect(inside).to eq 0
  end

  it "lists what is inside, the oldest first" do
    gate.pass({"REQUEST_METHOD" => "GET", "PATH_INFO" => "/reports", "QUERY_STRING" => "secret=1"}) do
      worker = waiting_thread do
        Thread.current.name = "worker-1"
        gate.pass(Thread.current) { Thread.stop }
      end

      expect(gate.running).to match [
        a_string_matching(%r{\AGET /reports for \d+\.\d s\z}), a_string_matching(/\Awork in worker-1 for \d+\.\d s\z/)
      ]
      worker.kill.join
      expect(gate.running.size).to eq 1
    end
    expect(gate.running).to be_empty
  end

  it "lists the same after garbage collection and compaction" do
    told = Array.new(5) do |number|
      unit = Hotswap::Gate::Unit.new({"REQUEST_METHOD" => "GET", "PATH_INFO" => "/reports/#{number}"})
      GC.stress = true
      unit.enter
      GC.compact if GC.respond_to?(:compact)
      [unit.source["PATH_INFO"], gate.inside?, Fiber.new { gate.inside? }.resume]
    ensure
      GC.stress = false
      unit.leave
    end

    expect(told).to eq Array.new(5) { |number| ["/reports/#{number}", true, false] }
  end

  describe "a unit that is lost" do
    it "counts as left when it is collected" do
      # In threads of their own, so that nothing on our stack refers to them.
      Array.new(20) { Thread.new { gate.enter("lost") && nil } }.each(&:join)

      eventually { GC.start || inside.zero? }
      expect(gate.running).to be_empty
    end
  end

  describe "a thread that is interrupted" do
    # Not at one place but at whatever place it happens to be in: entering, inside, leaving.
    def interrupted_at_random(times)
      times.times do
        thread = Thread.new { loop { gate.pass("request") { Thread.pass } } }
        thread.report_on_exception = false
        rand(200).times { Thread.pass }
        yield thread
        thread.join
      rescue Interrupt
        nil # what the thread was ended with
      end
    end

    it "has left if it is killed" do
      interrupted_at_random(300, &:kill)

      expect(inside).to eq 0
    end

    it "has left if an error is raised in it, as by Timeout" do
      interrupted_at_random(300) { |thread| thread.raise(Interrupt) }

      expect(inside).to eq 0
    end
  end
end
