# frozen_string_literal: true

require_relative "fleet"

# Pushes again and again while it kills, stops and restarts processes at random, and collects broken promises.
class Chaos
  include Fleet
  include Eventually

  WORKERS = 3
  MAX_PAUSE = 0.5
  # A swap may hold a request for one pause. A busy machine may add a second.
  LONGEST_WAIT = MAX_PAUSE + 1
  SETTINGS = "Rails.application.config.hotswap.timeout = 3; Rails.application.config.hotswap.max_pause = #{MAX_PAUSE}".freeze

  # The errors that a visitor may get when the server is killed during the request.
  CUT_OFF = /empty answer|cut off|reset|Broken pipe|closed|end of file|refused/i

  Stop = Struct.new(:pid, :from, :to)

  attr_reader :seed

  def initialize(seed: Random.new_seed % 100_000, out: $stdout)
    @seed = seed
    @chance = Random.new(seed)
    @out = out
    @troubles = Hash.new(0)
    @stops = []
    @waking = []
    @diary = []
  end

  # Runs until it has made this many swaps or the time is over. Returns the broken promises, in words.
  def run(app, swaps: Float::INFINITY, seconds: Float::INFINITY)
    @app = app
    @generations = Generations.new(app)
    started = Eventually.now
    eventually(30) { worker_pids(app).size == WORKERS }
    @verdict = visited(app, @generations, gets: 40, posts: 20) do
      trouble = Thread.new { make_trouble }
      @generations.push until @generations.kept.size >= swaps || Eventually.now - started > seconds
      trouble.kill.join
      @waking.each(&:join)
    end
    @seconds = Eventually.now - started
    settle
    broken.tap { |list| report(list) }
  end

  private

  def make_trouble
    phased = Eventually.now
    loop do
      sleep @chance.rand(0.05..0.6)
      kind = %i[kill terminate stop stop kill_leader kill_swap kill_swap stop_swap restart].sample(random: @chance)
      next if kind == :restart && Eventually.now - phased < 8
      # Stops one worker at a time, so that the others keep serving.
      next if %i[kill terminate kill_leader restart].include?(kind) && !everybody_there?

      phased = Eventually.now if kind == :restart
      @troubles[kind] += 1 if send(kind)
    rescue Errno::ESRCH, Errno::ENOENT
      nil # it had ended by itself
    end
  end

  def everybody_there?
    booted = @app.log.scan(/- Worker \d+ \(PID: (\d+)\) booted/).flatten.map(&:to_i)
    (worker_pids(@app) & booted).size == WORKERS
  end

  def kill = signal(:KILL, worker_pids(@app).sample(random: @chance))

  def terminate = signal(:TERM, worker_pids(@app).sample(random: @chance))

  def kill_leader = signal(:KILL, leader_pid(@app))

  def kill_swap = signal(:KILL, hotswap_workers(@app).first)

  def restart = signal(:USR1, @app.pid)

  def stop = pause(worker_pids(@app).sample(random: @chance), @chance.rand(0.6))

  def stop_swap = pause(hotswap_workers(@app).first, @chance.rand(2.5), remember: false)

  def signal(name, pid)
    return unless pid

    @diary << [Eventually.now, "#{name} #{pid}"]
    Process.kill(name, pid)
  end

  def pause(pid, seconds, remember: true)
    return unless signal(:STOP, pid)

    from = Eventually.now
    @waking << Thread.new do
      sleep seconds
      signal(:CONT, pid)
    rescue Errno::ESRCH
      nil # it was killed meanwhile
    ensure
      @stops << Stop.new(pid, from, Eventually.now) if remember
    end
  end

  # Checks that the fleet has recovered after the last kill.
  def settle
    eventually(60) { everybody_there? && leader_pid(@app) && File.socket?(@app.socket_path) }
    @last = @generations.push
    eventually(20) { hotswap_workers(@app).empty? }
  end

  def broken
    [
      *@verdict.broken.reject { |what| what.match?(/failed/) },
      *errors.map { |why, visits| "#{visits.size} requests: #{why}" },
      *pushes_that_lie,
      *slow.first(3).map { |visit| "a #{visit.kind} waited #{excused(visit).round(2)} s (pid #{visit.pid}); meanwhile:\n#{meanwhile(visit)}" },
      ("the last swap, without trouble, failed: #{@last.result.stderr}" unless @last.ok?),
      *@app.stray_files.map { |file| "left behind: #{file}" }
    ].compact
  end

  def errors
    @verdict.failed.reject { |visit| visit.failure.match?(CUT_OFF) }.group_by(&:failure)
  end

  # After OK the database is new, after a refusal it is old. If the worker died, both are allowed.
  def pushes_that_lie
    @generations.pushes.filter_map do |push|
      code = push.result.exit_code
      fits = {0 => push.moved?, 5 => true}.fetch(code, !push.moved?)
      "#{push.version} ended with #{code} and #{push.moved? ? "moved" : "did not move"}: #{push.result.stderr}" unless fits
    end
  end

  def slow = @verdict.visits.select(&:good?).select { |visit| excused(visit) > LONGEST_WAIT }

  # The duration of a visit, without the time for which this spec had stopped the process that answered it.
  def excused(visit)
    stopped = @stops.select { |stop| stop.pid == visit.pid }.sum { |stop| [[visit.ended, stop.to].min - [visit.started, stop.from].max, 0].max }
    visit.ended - visit.started - stopped
  end

  # The signals and swaps from shortly before the visit to its end.
  def meanwhile(visit)
    pushes = @generations.pushes.flat_map do |push|
      [[push.started, "push #{push.version}"], [push.ended, "push #{push.version}: #{push.result.exit_code}"]]
    end
    events = (@diary + pushes).select { |at, _| at.between?(visit.started - 1, visit.ended) }.sort_by(&:first)
    events.map { |at, what| format("  %+.3f s %s", at - visit.started, what) }.join("\n")
  end

  def report(list)
    codes = @generations.pushes.map { |push| push.result.exit_code }.tally.sort.to_h
    @out.puts <<~TEXT
      seed #{seed}: #{@generations.kept.size} swaps in #{@seconds.round} s, exit codes #{codes}
      trouble: #{@troubles.map { |kind, times| "#{kind} #{times}" }.join(", ")}
      #{@verdict.visits.size} requests, #{@verdict.failed.size} cut off with their process, #{@verdict.acknowledged.size} writes acknowledged
      longest wait #{(@verdict.visits.select(&:good?).map { |visit| excused(visit) }.max || 0).round(3)} s
      #{list.empty? ? "nothing was broken" : list.map { |what| "BROKEN: #{what}" }.join("\n")}
    TEXT
  end
end
