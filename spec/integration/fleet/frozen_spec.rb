# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "a process that is stopped", :fleet, lane: "default" do
  let(:settings) { "Rails.application.config.hotswap.timeout = 2; Rails.application.config.hotswap.max_pause = 0.3" }
  let(:app) { boot_app(workers: 2, initializer: settings) }
  let(:generations) { Generations.new(app) }

  after { @stopped&.each { |pid| wake(pid) } }

  def stop(pid)
    (@stopped ||= []) << pid
    Process.kill(:STOP, pid)
    eventually { File.read("/proc/#{pid}/stat").rpartition(")").last.split.first == "T" }
  end

  def wake(pid)
    Process.kill(:CONT, pid)
  rescue Errno::ESRCH
    nil # it was killed meanwhile
  end

  it "makes a push fail with its name, holds no other request, and moves when it continues", :quiet do
    expect_all_on(app, "v1", processes: 2)
    swap(generations, 1)
    frozen = AppProgram.runner(app, "Item.count; puts 'open'; $stdout.flush; sleep")
    frozen.wait_for("open")
    stop(frozen.pid)

    refused = nil
    verdict = visited(app, generations) { refused = generations.push(version: "never") }

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(HotswapCommand.named(frozen.pid, ".*runner.*"))
    expect(refused.seconds).to be_between(1.5, 5)
    expect(refused).not_to be_moved
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8
    expect_nothing_left(app)

    Process.kill(:KILL, frozen.pid)
    frozen.status
    swap(generations, 2)
    expect_all_on(app, generations.live, processes: 2)
  end

  it "moves with the others if it continues while the swap waits" do
    expect_all_on(app, "v1", processes: 2)
    victim = worker_pids(app).first
    stop(victim)
    push = Thread.new { generations.push(timeout: 30) }
    eventually { hotswap_workers(app).any? }
    wake(victim)

    expect(push.value.result).to have_attributes(exit_code: 0)
    expect_all_on(app, generations.live, processes: 2)
  end

  it "moves to the new database later if it had released the old one" do
    expect_all_on(app, "v1", processes: 2)
    console = AppProgram.console(app)
    console.say("puts \"sees \#{Release.current}\"")
    console.wait_for("sees v1")

    10.times do |n|
      # Stopped somewhere between the first notice and the last.
      stopper = Thread.new do
        eventually(5, every: 0.0005) { hotswap_workers(app).any? }
        sleep 0.01 * n
        stop(console.pid)
      end
      push = Thread.new { generations.push }
      stopper.join
      push.join(0.3)
      wake(console.pid)
      push = push.value
      expect([0, 4]).to include(push.result.exit_code)
      console.say("puts \"sees \#{Release.current} in round #{n}\"")
      console.wait_for("sees #{generations.live} in round #{n}")
    end
    expect_all_on(app, generations.live, processes: 2)
  end
end

RSpec.describe "the worker of a swap", :fleet, lane: "default" do
  let(:settings) { "Rails.application.config.hotswap.timeout = 3; Rails.application.config.hotswap.max_pause = 0.3" }
  let(:app) { boot_app(workers: 2, initializer: settings) }
  let(:generations) { Generations.new(app) }

  def wake(pid)
    Process.kill(:CONT, pid)
  rescue Errno::ESRCH
    nil # it was killed meanwhile
  end

  def during_a_push(after:)
    push = nil
    pusher = Thread.new { push = generations.push(timeout: 30) }
    worker = eventually(5, every: 0.0005) { hotswap_workers(app).first || (!pusher.alive? && :gone) }
    unless worker == :gone
      sleep after
      yield worker
    end
    pusher.join
    push
  rescue Errno::ESRCH
    pusher.join
    push
  end

  # In place, a worker that is killed right after its commit leaves no copy of what it replaced (docs/rollback.md). So the
  # spec would have nothing in which to look for the acknowledged writes. crash/faults_spec kills it at each call.
  it "leaves the whole old or new database, and no files, if it is killed at any moment", :quiet, :linux, timeout: 180 do
    expect_all_on(app, "v1", processes: 2)
    generations
    outcomes = Hash.new(0)
    chance = Random.new(RSpec.configuration.seed)

    verdict = visited(app, generations, gets: 40, posts: 20) do
      50.times do
        push = during_a_push(after: chance.rand(0.06)) { |worker| Process.kill(:KILL, worker) }
        outcomes[[push.result.exit_code, push.moved?]] += 1
        expect(push).to be_moved if push.ok?
      end
      swap(generations, 1)
    end

    puts "      outcomes (exit code, moved): #{outcomes}"
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 1.3
    expect(outcomes.keys).to include([5, false])
    expect_all_on(app, generations.live, processes: 2)
    expect_nothing_left(app)
  end

  it "is killed by the members if it is stopped while they wait for it", :quiet, timeout: 180 do
    expect_all_on(app, "v1", processes: 2)
    generations
    chance = Random.new(RSpec.configuration.seed)
    outcomes = Hash.new(0)

    verdict = visited(app, generations, gets: 40, posts: 20) do
      12.times do
        push = during_a_push(after: chance.rand(0.06)) do |worker|
          Process.kill(:STOP, worker)
          # It may not hold up any member, and then no member has a reason to kill it.
          Thread.new do
            sleep 1.5
            wake(worker)
          end
        end
        outcomes[[push.result.exit_code, push.moved?]] += 1
      end
      swap(generations, 1)
    end

    puts "      outcomes (exit code, moved): #{outcomes}"
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 1.3
    expect_all_on(app, generations.live, processes: 2)
    expect_nothing_left(app)
  end
end
