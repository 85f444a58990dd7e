# frozen_string_literal: true

require_relative "../../fleet/support/fleet"

# Swaps again and again while visitors read and write, each time with another page size and layout, and every second
# time with another schema. Every acknowledged write must be in the database that acknowledged it, and the application's
# processes must not grow.
class Endurance
  include Fleet
  include Eventually

  WORKERS = 2
  PAGE_SIZES = [4096, 1024, 8192, 512, 65_536].freeze
  SCHEMAS = [ItemsServer::SCHEMA, "#{ItemsServer::SCHEMA.chop}, price REAL); CREATE INDEX items_by_name ON items (name)"].freeze
  # As in Generations: it breaks no lease, and keeps the inode.
  O_PATH = 0o10000000

  Usage = Struct.new(:descriptors, :threads, :megabytes)

  attr_reader :broken

  def initialize(out: $stdout)
    @out = out
    @broken = []
    @acknowledged = Hash.new { |all, generation| all[generation] = [] }
    @guard = Mutex.new
    @answers = 0
  end

  def run(swaps)
    @app = ItemsServer.start(workers: WORKERS) { |app| app.file("storage/new.sqlite3", ItemsServer::SCHEMA) }
    @generation = "g0"
    swap(0)
    warm = nil
    visited do
      1.upto(swaps) do |number|
        swap(number)
        warm ||= usage if number >= [swaps / 10, 1_000].min
        report(number, swaps) if (number % [swaps / 10, 1].max).zero?
      end
    end
    stays_flat(warm, usage)
    self
  ensure
    @app&.kill
    FileUtils.rm_rf(@app.root) if @app
  end

  def to_s
    "#{@swaps} swaps, #{@answers} answers, #{@counted.to_i} writes that were answered found again; " \
      "for each process #{@from} at first, #{@to} at the end; #{broken.size} broken"
  end

  private

  def swap(number)
    file = offer("g#{number}", PAGE_SIZES[number % PAGE_SIZES.size], SCHEMAS[number / 2 % SCHEMAS.size])
    before = File.open(@app.database_path, O_PATH)
    result = @app.hotswap("cp", "--skip-schema-check", file, "storage/app.sqlite3")
    return @broken << "swap #{number} ended with #{result.exit_code}: #{result.stderr}" unless result.success?

    judge(before, @generation)
    @generation = "g#{number}"
    @swaps = number
  ensure
    before&.close
  end

  # A generation is known by its first row.
  def offer(generation, page_size, schema)
    path = @app.root.join("storage/new.sqlite3").to_s
    FileUtils.rm_f(path)
    SQLite3::Database.new(path) do |db|
      db.execute("PRAGMA synchronous = OFF")
      db.execute("PRAGMA page_size = #{page_size}")
      db.execute_batch("#{schema}; CREATE TABLE filling (bytes)")
      db.execute("INSERT INTO items (name) VALUES (?)", [generation])
      db.execute("INSERT INTO filling VALUES (randomblob(?))", [page_size * rand(1..20)])
      db.execute("DELETE FROM filling") if rand(2).zero?
    end
    path
  end

  # The replaced database, while it can still be reached.
  def judge(before, generation)
    copy = @app.root.join("replaced.sqlite3").to_s
    eventually(10) { reopened(before) { |old| IO.copy_stream(old, copy) } }
    said = TestDatabase.integrity(copy)
    @broken << "#{generation} was damaged when it was replaced: #{said}" unless said == "ok"
    rows = TestDatabase.read(copy) { |db| db.execute("SELECT name FROM items").flatten }
    promised = @guard.synchronize { @acknowledged.delete(generation) || [] }
    lost = promised - rows
    @counted = @counted.to_i + promised.size
    @broken << "#{generation} lost #{lost.size} writes: #{lost.first(3).join(" ")}" unless lost.empty?
  end

  # False while the worker has its lease on the file, which an open waits for until a signal comes.
  def reopened(file, &)
    File.open("/proc/self/fd/#{file.fileno}", "rb", &)
  rescue Errno::EINTR
    false
  end

  def visited
    over = false
    visitors = Array.new(4) { |number| Thread.new { visit(number) until over } }
    yield
  ensure
    over = true
    visitors&.each(&:join)
  end

  def visit(number)
    name = "w#{number}-#{@answers}-#{rand(1 << 40)}"
    answer = number.even? ? @app.post("/", name: name, timeout: 20) : @app.get("/", timeout: 20)
    return @guard.synchronize { @broken << "a visitor got #{answer.status}: #{answer.body[0, 200]}" } unless answer.status == 200

    @guard.synchronize do
      @answers += 1
      @acknowledged[answer.body[/\A\S+/]] << name if number.even?
    end
    sleep 0.01
  rescue SystemCallError, IOError, Net::ReadTimeout, Net::OpenTimeout => error
    @guard.synchronize { @broken << "a visitor was cut off: #{error.class} #{error.message}" }
  end

  def usage
    eventually(20) { hotswap_workers(@app).empty? }
    measured = worker_pids(@app).map do |pid|
      status = File.read("/proc/#{pid}/status")
      Usage.new(Dir.children("/proc/#{pid}/fd").size, status[/^Threads:\s*(\d+)/, 1].to_i, status[/^VmRSS:\s*(\d+)/, 1].to_i / 1024)
    end
    Usage.new(*Usage.members.map { |what| measured.map(&what).max })
  end

  def stays_flat(from, to)
    @from, @to = [from, to].map { |usage| "#{usage.descriptors} descriptors, #{usage.threads} threads, #{usage.megabytes} MB" }
    # A connection or a thread of the web server more or less is nothing that grows.
    grown = to.descriptors > from.descriptors + 4 || to.threads > from.threads + 2 || to.megabytes > from.megabytes * 1.25 + 5
    @broken << "#{@from} became #{@to}" if grown
  end

  def report(number, swaps) = @out.puts("  #{number} of #{swaps} swaps, #{@broken.size} broken")
end
