# frozen_string_literal: true

require "rbconfig"
require "timeout"

# A process that uses a database and knows nothing of hotswap. It answers one line of SQL at a time.
#
#   shell = Stranger.shell(path)
#   shell.ask("SELECT name FROM items")   # => "old"
class Stranger
  END_OF_ANSWER = "-- that was it --"
  PATIENCE = 20

  # Reads a line of SQL, prints the result, and marks its end.
  RUBY = <<~'RUBY'
    require "sqlite3"
    $stdout.sync = true
    db = SQLite3::Database.new(ARGV[0], readonly: ARGV[0].start_with?("file:"), uri: ARGV[0].start_with?("file:"))
    db.busy_timeout = 2_000
    puts ARGV[1]
    while (line = $stdin.gets)
      begin
        puts db.execute(line).map { |row| row.join("|") }
      rescue SQLite3::Exception => error
        puts "Error: #{error.message}"
      end
      puts ARGV[1]
    end
  RUBY

  PYTHON = <<~PYTHON
    import sqlite3, sys
    db = sqlite3.connect(sys.argv[1], timeout=2, isolation_level=None)
    print(sys.argv[2], flush=True)
    for line in sys.stdin:
        try:
            for row in db.execute(line).fetchall():
                print("|".join(map(str, row)))
        except sqlite3.Error as error:
            print("Error:", error)
        print(sys.argv[2], flush=True)
  PYTHON

  # Maps the file, closes its descriptor, and reads the mapping.
  MAPPING = <<~RUBY
    require "fiddle"
    mmap = Fiddle::Function.new(Fiddle::Handle::DEFAULT["mmap"],
      [Fiddle::TYPE_VOIDP, Fiddle::TYPE_SIZE_T, Fiddle::TYPE_INT, Fiddle::TYPE_INT, Fiddle::TYPE_INT, Fiddle::TYPE_LONG], Fiddle::TYPE_VOIDP)
    file = File.open(ARGV[0])
    mapping = mmap.call(nil, 4096, 1, 1, file.fileno, 0)
    file.close
    $stdout.sync = true
    puts ARGV[1]
    while $stdin.gets
      puts mapping[0, 15], ARGV[1]
    end
  RUBY

  class << self
    def started = (@started ||= [])

    # The sqlite3 shell, which has not read yet.
    def shell(path, by_way_of: [])
      # Without the buffer that a pipe makes it have.
      new(*by_way_of, "stdbuf", "-oL", "sqlite3", "-batch", "-cmd", ".timeout 2000", shell: true).tap { |shell| shell.ask(".open #{path}") }
    end

    def ruby(path) = new(RbConfig.ruby, "--disable-gems", *sqlite3_paths, "-e", RUBY, path, END_OF_ANSWER)

    def python(path) = new("python3", "-c", PYTHON, path, END_OF_ANSWER)

    def mapping(path) = new(RbConfig.ruby, "-e", MAPPING, path, END_OF_ANSWER)

    def available?(program) = system("sh", "-c", 'command -v "$0"', program, out: File::NULL)

    def stop_all
      started.shift.stop until started.empty?
    end

    private

    def sqlite3_paths = Gem.loaded_specs.fetch("sqlite3").full_require_paths.flat_map { |path| ["-I", path] }
  end

  def initialize(*command, shell: false)
    @shell = shell
    @io = IO.popen([Project.plain_environment({}), *command], "r+", err: [:child, :out], unsetenv_others: true)
    Stranger.started << self
    answer unless shell
  end

  def pid = @io.pid

  # What it says to a line of SQL, errors included.
  def ask(line)
    @io.puts((@shell && !line.start_with?(".")) ? "#{line};" : line)
    @io.puts(".print '#{END_OF_ANSWER}'") if @shell
    answer
  end

  def stop
    return if @io.closed?

    Process.kill(:KILL, pid)
    @io.close
  end

  private

  def answer
    lines = []
    Timeout.timeout(PATIENCE) do
      while (line = @io.gets&.chomp) != END_OF_ANSWER
        raise "it ended: #{lines.join("\n")}" if line.nil?

        lines << line
      end
    end
    lines.join("\n")
  end
end

RSpec.configure { |config| config.prepend_after { Stranger.stop_all } } if defined?(RSpec)
