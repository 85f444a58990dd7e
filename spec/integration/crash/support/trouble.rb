# frozen_string_literal: true

require_relative "watched_server"

# Runs one command after the other. Each meets a fault at one of its system calls, or dies there. Records how each
# ended, and what must never happen.
class Trouble
  include Eventually

  # The errors that a system returns for each call. EACCES or EAGAIN means that another process has the lock.
  FILES = %i[EIO EACCES EROFS EMFILE EINTR].freeze
  ROOM = %i[ENOSPC EDQUOT EIO EINTR].freeze
  FAULTS = {
    "open" => FILES, "create" => [*FILES, :ENOSPC, :EDQUOT], "opendir" => %i[EIO EACCES EMFILE], "read" => %i[EIO EINTR short],
    "write" => [*ROOM, :EROFS, :short], "copy_file_range" => [*ROOM, :EXDEV, :short], "reflink" => [*ROOM, :EXDEV],
    "fsync" => ROOM, "fdatasync" => ROOM, "truncate" => %i[EIO EINTR EROFS], "mmap" => %i[ENOMEM EACCES EMFILE],
    "rename" => %i[EXDEV EBUSY EACCES EROFS EIO ENOSPC], "link" => %i[EXDEV EACCES EROFS EIO ENOSPC], "unlink" => %i[EBUSY EACCES EROFS EIO],
    "stat" => %i[EIO EACCES], "fstat" => %i[EIO], "access" => %i[EIO EACCES], "statvfs" => %i[EIO EINTR], "fchmod" => %i[EIO EROFS EPERM],
    "fchown" => %i[EIO EROFS EDQUOT EPERM], "lock" => %i[EACCES EAGAIN EINTR EIO ENOLCK], "who_locks" => %i[EIO EINTR ENOLCK],
    "lease" => %i[EACCES EAGAIN EBUSY EINTR EIO EINVAL], "is_leased" => %i[EIO EINTR], "flock" => %i[EAGAIN EINTR EIO ENOLCK],
    "past_cache" => %i[EINVAL EPERM], "through_cache" => %i[EINVAL],
    "report" => [], "bind" => %i[EACCES EROFS ENOSPC EMFILE], "flistxattr" => %i[EIO EACCES], "fsetxattr" => %i[ENOSPC EIO EACCES]
  }.freeze

  # The errors that a disk can keep returning.
  LASTING = %i[EIO EROFS ENOSPC EDQUOT].freeze

  # Calls that poll for another process have no fixed count.
  POLLED = %w[lock who_locks is_leased read].freeze
  POLLS = 6
  # Every page is written in the same way.
  PAGES = 20

  # With the portable backend, a push and a rollback write in place, and a pull writes into a file that has a name.
  PORTABLE = {
    core: {
      push: ["create staged", "lock staged", "write staged", "fsync staged", "open staged", "fchmod staged", "write app.sqlite3.hotswap",
        "lock app.sqlite3.hotswap", "read app.sqlite3", "mmap app.sqlite3-shm", "write app.sqlite3-wal", "fdatasync app.sqlite3-wal",
        "lock app.sqlite3-shm", "rename app.sqlite3.previous", "rename staged", "rename kept", "fsync folder"],
      undo: ["rename app.sqlite3.previous", "open kept", "read kept", "fsync kept", "rename kept", "create staged", "write staged", "fsync staged",
        "write app.sqlite3-wal", "fdatasync app.sqlite3-wal", "rename staged", "unlink app.sqlite3.previous.2", "fsync folder"],
      pull: ["create part", "write part", "fsync part", "rename part", "fsync folder"]
    },
    last_calls: {
      push: ["fsync staged", "write app.sqlite3-wal", "fdatasync app.sqlite3-wal", "rename app.sqlite3.previous", "rename staged", "rename kept",
        "fsync folder", "report client"],
      undo: ["rename app.sqlite3.previous", "fsync kept", "rename kept", "write app.sqlite3-wal", "fdatasync app.sqlite3-wal", "rename staged",
        "unlink app.sqlite3.previous.2", "fsync folder", "report client"],
      pull: ["write part", "rename part"]
    }
  }.transform_values { |calls| Project.linux? ? {} : calls }.freeze

  # The calls that every push or pull needs. Each of them must fail cleanly.
  CORE = {
    push: ["create staged", "flock staged", "copy_file_range staged", "write staged", "fsync staged", "open staged", "fchmod staged",
      "write app.sqlite3.hotswap", "lock app.sqlite3.hotswap", "read app.sqlite3", "mmap app.sqlite3-shm", "truncate app.sqlite3-wal",
      "lease app.sqlite3", "unlink app.sqlite3-wal", "fsync folder", "link kept", "rename staged", "rename kept"],
    undo: ["rename app.sqlite3.previous", "lease app.sqlite3.previous", "open kept", "read kept", "fsync kept", "fchmod kept", "link kept", "rename kept",
      "fsync folder"],
    overwrite: ["write app.sqlite3-wal", "write app.sqlite3.hotswap", "fdatasync app.sqlite3-wal", "lock app.sqlite3-shm", "read staged", "fsync staged"],
    push_items: ["create staged", "write staged", "fsync staged", "rename staged", "write app.sqlite3.hotswap", "write app.sqlite3-wal",
      "fsync app.sqlite3-wal", "lock app.sqlite3-shm", "rename app.sqlite3.previous", "rename kept", "fsync folder"],
    rollback: ["write app.sqlite3-journal", "fdatasync app.sqlite3-journal", "write app.sqlite3", "fdatasync app.sqlite3", "unlink app.sqlite3-journal",
      "fdatasync folder"],
    pull: ["create nameless", "past_cache nameless", "write nameless", "fsync nameless", "link part", "rename part", "fsync folder"]
  }.merge(PORTABLE.fetch(:core)).freeze

  # How a process that is killed there has to be survived.
  LAST_CALLS = {
    push: ["fsync staged", "unlink app.sqlite3-wal", "link kept", "rename staged", "rename kept", "fsync folder", "report client", "is_leased app.sqlite3"],
    undo: ["rename app.sqlite3.previous", "fsync kept", "link kept", "rename kept", "fsync folder", "report client"],
    overwrite: ["write app.sqlite3-wal", "fdatasync app.sqlite3-wal", "report client"],
    push_items: ["rename staged", "write app.sqlite3-wal", "fsync app.sqlite3-wal", "rename kept", "fsync folder", "report client"],
    pull: ["write nameless", "link part", "rename part"]
  }.merge(PORTABLE.fetch(:last_calls)).freeze

  Outcome = Struct.new(:step, :action, :state, :exit_code, :problems)

  attr_reader :outcomes

  # Numbers that no other one on the same server has used.
  def self.begin = @begin = (@begin || 0) + 10_000

  # command: :push, :overwrite, :push_items, :undo or :pull.
  def initialize(app, command)
    @app = app
    @command = command
    @outcomes = []
    @number = Trouble.begin
    @folder = listing
    @journal = journal
  end

  # The steps of a command that meets no trouble, and is not the first one.
  def steps
    @app.public_send(@command)
    number = next_one
    calls = @app.calls.traced do
      result = @app.public_send(@command)
      raise "the #{@command} failed without any trouble: #{result.stderr}" unless result.success? && state(number, nil) == :new

      eventually { worker_gone? }
    end
    SystemCalls.steps(calls).reject { |step| step.program == "member" || (POLLED.include?(step.call) && step.nth > POLLS) || step.nth > PAGES }
  end

  # Runs one command with this fault, and records the outcome.
  def meet(step, action, lasting: false)
    number = next_one
    before = standing
    notes = kept
    result = @app.calls.with(step, action, lasting: lasting) { @app.public_send(@command, timeout: 60).tap { eventually(20) { worker_gone? } } }
    dead = %i[killed_before killed_after].include?(action)
    # A dead process, or one that may not list or remove files, leaves them to the next one. A push of rows whose disk
    # fails in the commit or after it also leaves one more version.
    untidy = dead || lasting || %w[unlink opendir].include?(step.call) || result.stderr.match?(/either the old or the new|(is|are) in place/)
    state = state(number, before)
    problems = [*lies(result, state, dead), *damage, *(["notes were lost"] if kept != notes), *closed_gate, *(left_behind unless untidy)]
    @outcomes << Outcome.new(step, lasting ? "#{action}…" : action, state, result.exit_code, problems.map { |what| "#{what} (#{result.stderr.strip})" })
    @outcomes.last.problems.concat(aftermath) if untidy
    @outcomes.last
  rescue HotswapCommand::TookTooLong, TooLate => error
    raise "#{step}, #{action}: #{error.message}\n#{@app.log_tail(10)}"
  end

  # One line for each call, with what became of the command at each fault.
  def table
    lines = outcomes.group_by { |outcome| outcome.step }.map do |step, met|
      states = met.group_by { |outcome| [outcome.state, outcome.exit_code] }.map { |(state, code), same| "#{state} #{code || "-"}: #{same.map(&:action).join(" ")}" }
      format("%-52s %s", step, states.join("   "))
    end
    [*lines, "#{outcomes.size} faults, #{violations.size} violations"].join("\n")
  end

  def violations
    outcomes.reject { |outcome| outcome.problems.empty? }.map { |outcome| "#{outcome.step}, #{outcome.action}: #{outcome.problems.join("; ")}" }
  end

  private

  def next_one
    @number += 1
    # A log with a row in it belongs to the old database.
    @app.add("row-#{@number}") unless @app.names.include?("row-#{@number}")
    offer
    @number
  end

  def offer
    return unless push?

    @app.offer("new-#{@number}")
    return unless @command == :undo

    # The database to go back to, below the one that is live.
    raise "no push" unless @app.push.success?

    eventually(20) { worker_gone? }
    @app.offer("live-#{@number}")
    raise "no push" unless @app.push.success?

    eventually(20) { worker_gone? }
    @app.add("row-#{@number}")
  end

  # What must be unchanged after a failure.
  def push? = @command != :pull

  def standing = push? ? @app.names : rows(@app.root.join(WatchedServer::BACKUP))

  def state(number, before)
    found = standing
    return :old if found == before
    return :new if found == (push? ? ["new-#{number}"] : @app.names)

    "a mix: #{found.join(" ")}"
  end

  def lies(result, state, dead)
    return ["it is #{state}"] unless %i[old new].include?(state)
    # A command whose worker dies after the success report may end either way.
    return [] if dead
    return (state == :new) ? [] : ["said OK, and nothing came"] if result.exit_code == 0

    wordless = "no reason is given" unless result.stderr.match?(/^ERROR: \S+/)
    # The only failure that can come after the commit point must say so.
    hidden = "it is new, and not said to be" if state == :new && !result.stderr.match?(/(is|are) in place|either the old or the new/)
    [wordless, hidden].compact
  end

  def damage
    files = [@app.database_path, *(@app.root.join(WatchedServer::BACKUP).to_s unless push?)]
    files.filter_map do |file|
      said = TestDatabase.integrity(file)
      "#{File.basename(file)} is damaged: #{said}" unless said == "ok"
    end.push(*("the journal mode changed" unless journal == @journal))
  end

  # What a push of some tables must not touch.
  def kept = (@command == :push_items) ? @app.notes : []

  def journal = File.binread(@app.database_path, 2, 18)

  def closed_gate
    begun = Eventually.now
    status = @app.add("row-#{@number}-after").status
    return ["the application answers with #{status}"] unless status == 200

    ["the application waited #{(Eventually.now - begun).round(1)} s"] if Eventually.now - begun > 5
  end

  # After the next command, the other database of a rollback that failed is the previous version. In place, the worker
  # copies the old state after the commit. If that fails, the version that is live again stays (docs/rollback.md).
  def lost_version
    return [] unless @command == :undo

    result = @app.hotswap("rollback")
    eventually(20) { worker_gone? }
    return ["the next rollback failed: #{result.stderr}"] unless result.success?

    two = [@app.names.first, rows("#{@app.database_path}.previous").first]
    copied = !Project.linux? && @outcomes.last.state == :new
    (two.sort == %W[live-#{@number} new-#{@number}] || copied && two.uniq == ["new-#{@number}"]) ? [] : ["the databases are #{two.join(" and ")}"]
  end

  # On FUSE, a removed file that a process still has open gets another name. It disappears shortly after the process.
  def left_behind
    eventually { (listing - @folder).empty? }
    []
  rescue TooLate
    (listing - @folder).map { |name| "left behind: #{name}" }
  end

  # The next command works, and removes the files of dead processes.
  def aftermath
    lost = lost_version
    return lost if lost.any?

    @number += 1
    offer
    result = @app.public_send(@command)
    return ["the next #{@command} failed: #{result.stderr}"] unless result.success? && state(@number, nil) == :new

    eventually(20) { worker_gone? }
    left_behind
  end

  def listing = Untouched.listing(@app.root.join("storage"))

  def rows(file) = TestDatabase.read(file) { |db| db.execute("SELECT name FROM items ORDER BY id").flatten }

  def worker_gone? = @app.process.members == [@app.pid]
end
