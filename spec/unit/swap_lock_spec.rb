# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::SwapLock do
  include_context "with hotswap in this process"

  subject(:lock) { Hotswap::Middleware::SWAP_LOCK }

  it "holds new requests until it is unlocked" do
    lock.lock
    expect(lock).to be_locked
    request = waiting_thread { gate.pass("request") { lock.locked? } }
    lock.unlock

    expect(request.value).to be false
    expect(lock).not_to be_locked
  end

  it "waits until no unit is running" do
    leave = Queue.new
    request = waiting_thread { gate.pass("request") { leave.pop } }
    held = Queue.new
    holder = Thread.new { lock.synchronize { held.push(inside) } }
    eventually { lock.locked? }

    expect(held).to be_empty
    leave.close
    expect(held.pop(timeout: 5)).to eq 0
    [request, holder].each(&:join)
  end

  it "returns the block's value, and unlocks if the block raises or throws" do
    expect(lock.synchronize { :answer }).to eq :answer
    expect { lock.synchronize { raise "broken" } }.to raise_error("broken")
    catch(:done) { lock.synchronize { throw :done } }

    expect(lock).not_to be_locked
  end

  it "is taken by try_lock only if nothing is in the way" do
    expect(lock.try_lock).to be true
    expect([lock.locked?, lock.owned?, lock.try_lock, Thread.new { [lock.owned?, lock.try_lock] }.value]).to eq [true, true, false, [false, false]]
    lock.unlock
    expect([lock.locked?, lock.owned?]).to eq [false, false]

    gate.pass("request") { expect([lock.try_lock, lock.locked?]).to eq [false, false] }
    with_closed_gate { expect([lock.try_lock, lock.locked?, lock.owned?]).to eq [false, true, false] }
  end

  it "lets requests pass while a try fails" do
    leave = Queue.new
    request = waiting_thread { gate.pass("request") { leave.pop } }

    expect([lock.try_lock, lock.locked?, gate.pass("another") { :passed }]).to eq [false, false, :passed]
    leave.close
    request.join
    expect(lock.try_lock).to be true
    lock.unlock
  end

  it "has one holder at a time" do
    at_once = most = 0
    threads = Array.new(4) do
      Thread.new do
        10.times do
          lock.synchronize do
            most = [most, at_once += 1].max
            Thread.pass
            at_once -= 1
          end
        end
      end
    end
    threads.each(&:join)

    expect(most).to eq 1
  end

  it "cannot be taken inside a request, which would wait for itself" do
    gate.pass("request") do
      expect { lock.lock }.to raise_error(ThreadError, /inside a request/)
      expect { lock.synchronize { nil } }.to raise_error(ThreadError, /inside a request/)
    end
    expect(lock).not_to be_locked
  end

  it "cannot be taken twice, and stays with its holder" do
    lock.synchronize do
      expect { lock.lock }.to raise_error(ThreadError, /this thread already holds the swap lock/)
      expect { lock.synchronize { nil } }.to raise_error(ThreadError, /this thread already holds the swap lock/)
      expect(lock).to be_locked
    end
    expect(lock).not_to be_locked
  end

  it "can be unlocked only by its holder" do
    expect { lock.unlock }.to raise_error(ThreadError, /this thread does not hold the swap lock/)
    lock.synchronize do
      other = Thread.new { lock.unlock }.tap { |thread| thread.report_on_exception = false }
      expect { other.join }.to raise_error(ThreadError, /this thread does not hold the swap lock/)
      expect(lock).to be_locked
    end
  end

  it "opens the gate again if its holder is killed, while it waits or holds it" do
    leave = Queue.new
    request = waiting_thread { gate.pass("request") { leave.pop } }
    waiting = Thread.new { lock.synchronize { nil } }
    eventually { lock.locked? }
    waiting.kill.join
    expect(lock).not_to be_locked
    leave.close
    request.join

    waiting_thread { lock.synchronize { Thread.stop } }.kill.join
    expect(lock).not_to be_locked
  end

  it "is separate in a forked child" do
    lock.synchronize do
      expect(in_child { [lock.locked?, lock.owned?, lock.synchronize { [lock.locked?, lock.owned?] }, lock.locked?] }).to eq [false, false, [true, true], false]
      expect(lock).to be_locked
    end
  end
end
