# frozen_string_literal: true

# The smallest fiber scheduler that runs what hotswap does: waiting for a descriptor, for a while, and for each
# other. Falcon's does the same with more speed.
class Reactor
  # Runs the block, in which `Fiber.schedule` works, and everything that it scheduled, in a thread of its own.
  def self.run(&block)
    Thread.new do
      Thread.current.report_on_exception = false
      Fiber.set_scheduler(new)
      block.call
    end.value
  end

  def initialize
    @readable = {}
    @sleeping = {}
    @blocked = {}
    @ready = []
    @lock = Thread::Mutex.new
    @wakeup, @waker = IO.pipe
  end

  # Called by Ruby when the thread ends.
  def close
    run
  ensure
    @wakeup.close
    @waker.close
  end

  def run
    turn until @readable.empty? && @sleeping.empty? && @blocked.empty? && @ready.empty?
  end

  def fiber(&block) = Fiber.new(blocking: false, &block).tap(&:resume)

  def io_wait(io, events, timeout = nil)
    return events unless events == IO::READABLE

    @readable[Fiber.current] = io
    @sleeping[Fiber.current] = now + timeout if timeout
    Fiber.yield ? events : false
  ensure
    @readable.delete(Fiber.current)
    @sleeping.delete(Fiber.current)
  end

  def kernel_sleep(duration = nil) = block(:sleep, duration)

  def block(_blocker, timeout = nil)
    @blocked[Fiber.current] = true
    @sleeping[Fiber.current] = now + timeout if timeout
    Fiber.yield
  ensure
    @blocked.delete(Fiber.current)
    @sleeping.delete(Fiber.current)
  end

  # From any thread.
  def unblock(_blocker, fiber)
    @lock.synchronize { @ready << fiber }
    @waker.write_nonblock(".", exception: false)
  end

  private

  def turn
    readable, = IO.select([@wakeup, *@readable.values], nil, nil, patience)
    @wakeup.read_nonblock(1024, exception: false) if readable&.include?(@wakeup)
    wake(@lock.synchronize { @ready.slice!(0..) }, true)
    wake(@readable.select { |_, io| readable&.include?(io) }.keys, true)
    wake(@sleeping.select { |_, time| time <= now }.keys, false)
  end

  # Only who still waits: an earlier one may have woken a later one.
  def wake(fibers, answer)
    fibers.each { |fiber| fiber.resume(answer) if fiber.alive? && waiting?(fiber) }
  end

  def waiting?(fiber) = @readable.key?(fiber) || @blocked.key?(fiber)

  def patience
    return 0 if @lock.synchronize { @ready.any? }

    @sleeping.values.min&.then { |time| [time - now, 0].max }
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
