# frozen_string_literal: true

require_relative "../../fleet/support/fleet"

# Runs one command after the other, and kills a process at a random moment of each: the command, its worker, the leader,
# a member, or all of them. Counts what must never happen.
class RandomKills
  include Fleet
  include Eventually

  KINDS = %i[client worker leader member everybody].freeze
  # A command takes about this long, and its worker that much of it, in seconds.
  LENGTH = 0.2
  WORK = 0.06

  attr_reader :broken, :kills

  def initialize(workers:, seed: 1)
    @workers = workers
    @chance = Random.new(seed)
    @kills = Hash.new(0)
    @ended = Hash.new(0)
    @broken = []
    @number = 0
  end

  # Runs until so many processes were killed during a command.
  def run(count)
    serve
    round until @kills.values.sum >= count
    quiet_push("after all of it")
    self
  ensure
    @app&.kill
    FileUtils.rm_rf(@app.root) if @app
  end

  def to_s
    "#{@workers.zero? ? "single" : "cluster of #{@workers}"}: #{@kills.values.sum} kills (#{@kills.map { |kind, times| "#{kind} #{times}" }.join(", ")}), " \
      "commands ended with #{@ended.sort_by(&:to_s).map { |code, times| "#{code || "signal"}: #{times}" }.join(", ")}; #{broken.size} broken"
  end

  private

  def serve
    @app = ItemsServer.start(workers: @workers) do |app|
      app.file("storage/new.sqlite3", ItemsServer::SCHEMA)
      app.file("storage/backup.sqlite3", ItemsServer::SCHEMA, %w[backup-0])
    end
    @folder = listing
    @backups = [%w[backup-0]]
  end

  def round
    @number += 1
    push = @chance.rand(3).positive?
    name = "g#{@number}"
    @app.file("storage/new.sqlite3", ItemsServer::SCHEMA, [name])
    @app.post("/", name: "row-#{@number}")
    before = names
    kind = KINDS.sample(random: @chance)
    result = interrupted(kind, "cp", *(push ? %w[storage/new.sqlite3 storage/app.sqlite3] : %w[storage/app.sqlite3 storage/backup.sqlite3]))
    come_back(kind)
    push ? judge_push(kind, result, before, name) : judge_pull(kind, result, before)
    # A boot and the next push remove the files of dead processes.
    quiet_push("after #{kind} was killed") unless kind == :everybody && push
    judge_leftovers(kind)
  rescue PumaServer::Trouble, TooLate => error
    @broken << "round #{@number}, #{kind}: #{error.message}"
    raise "the site does not come back, so nothing else can be tried: #{error.message}"
  end

  def interrupted(kind, *arguments)
    command = @app.start_hotswap(*arguments)
    if @chance.rand(2).zero?
      sleep @chance.rand(LENGTH)
    else
      eventually(10, every: 0.002) { !command.running? || hotswap_workers(@app).any? }
      sleep @chance.rand(WORK)
    end
    @kills[kind] += 1 if command.running?
    kill(kind, command)
    result = command.wait(60)
    @ended[result.exit_code] += 1
    result
  end

  def kill(kind, command)
    pids = {
      client: -> { [command.pid] }, worker: -> { hotswap_workers(@app) }, leader: -> { [leader_pid(@app)] },
      member: -> { member_pids(@app).sample(1, random: @chance) }, everybody: -> { [command.pid, *@app.pids] }
    }.fetch(kind).call
    pids.compact.each do |pid|
      Process.kill(:KILL, pid)
    rescue Errno::ESRCH
      nil # it was quicker
    end
  end

  # Puma restarts its workers, but nothing restarts Puma.
  def come_back(kind)
    if kind == :everybody || !eventually_alive?
      @app.kill
      @app.boot
    else
      eventually(30) { @app.answers? }
    end
    eventually(30) { leader_pid(@app) && File.socket?(@app.socket_path) }
  end

  def eventually_alive? = @workers.positive? || eventually(2) { !@app.process.alive? || @app.answers? } && @app.process.alive?

  def judge_push(kind, result, before, name)
    found = eventually(30) { names }
    state = {before => :old, [name] => :new}.fetch(found) { return break_it(kind, "a mix: #{found.join(" ")}") }
    break_it(kind, "it said OK, and the old one is there") if result.exit_code == 0 && state == :old
    break_it(kind, "it is damaged: #{TestDatabase.integrity(@app.database_path)}") unless TestDatabase.integrity(@app.database_path) == "ok"
  end

  def judge_pull(kind, result, before)
    backup = @app.root.join("storage/backup.sqlite3")
    return break_it(kind, "the backup is damaged") unless TestDatabase.integrity(backup) == "ok"

    found = TestDatabase.read(backup) { |db| db.execute("SELECT name FROM items ORDER BY id").flatten }
    break_it(kind, "a backup of nothing: #{found.join(" ")}") unless [@backups.last, before].include?(found)
    break_it(kind, "it said OK, and yesterday's is there") if result.exit_code == 0 && found != before
    break_it(kind, "the live database changed: #{names.join(" ")}") unless names == before
    @backups = [found]
  end

  def judge_leftovers(kind)
    eventually(10) { listing == @folder }
  rescue TooLate
    break_it(kind, "left behind: #{(listing - @folder).join(", ")}")
  end

  def quiet_push(whenever)
    @app.file("storage/new.sqlite3", ItemsServer::SCHEMA, ["quiet-#{@number}"])
    result = @app.hotswap("cp", "storage/new.sqlite3", "storage/app.sqlite3")
    return if result.success? && names == ["quiet-#{@number}"]

    @broken << "round #{@number}: a push #{whenever} failed with #{result.exit_code}: #{result.stderr}"
  end

  def break_it(kind, what) = @broken << "round #{@number}, #{kind} killed: #{what}"

  def names = @app.version.split

  # A pull that was killed leaves its draft to the next one, and a push leaves the version that is too many.
  def listing = Untouched.listing(@app.root.join("storage")).grep_v(/\.part\z|\.previous\.\d+\z/)
end
