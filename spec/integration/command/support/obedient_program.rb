# frozen_string_literal: true

require "json"

# A program that does what it is told, line by line, and answers each line with JSON. It never calls Hotswap.start.
class ObedientProgram
  include Eventually

  PREAMBLE = <<~RUBY
    require "hotswap"
    require "json"
    require "stringio"
    LOG = StringIO.new
    Hotswap.logger = Logger.new(LOG)
    Hotswap.database_path = ENV.fetch("DATABASE")
    def open_database = @database ||= SQLite3::Database.new(ENV.fetch("DATABASE")).tap { |opened| opened.busy_timeout = 5_000 }
    def names = open_database.execute("SELECT name FROM items ORDER BY id").join(" ")
    Hotswap.on_disconnect { @database&.close; @database = nil }
    def hotswap(*arguments, stdin: StringIO.new)
      out, err = StringIO.new, StringIO.new
      [Hotswap::CLI.run(arguments, stdin: stdin, stdout: out, stderr: err), out.string, err.string]
    end
    $stdout.sync = true
    while (line = $stdin.gets)
      puts JSON.generate(eval(line))
    end
  RUBY

  attr_reader :pid

  def self.started = (@started ||= [])

  def initialize(folder, database: "app.sqlite3")
    @io = IO.popen([Project.bundled_environment("DATABASE" => database), *Project::RUBY, "-e", PREAMBLE], "r+", chdir: folder.to_s, unsetenv_others: true)
    @pid = @io.pid
    ObedientProgram.started << self
  end

  def ask(line)
    @io.puts(line)
    self
  end

  def answer = JSON.parse(@io.gets || raise(EOFError, "the program has ended"))

  def tell(line) = ask(line).answer

  # Returns the exit status, standard output and standard error.
  def hotswap(*arguments) = tell("hotswap(*#{arguments.inspect})")

  # The signal that ends a forked child, if one does.
  def fate_of_child(line) = tell("Process.wait2(fork { #{line}; exit!(0) }).last.termsig")

  def end
    Process.kill(:KILL, pid)
    @io.close
  rescue Errno::ESRCH
    @io.close
  end
end

RSpec.configure { |config| config.prepend_after { ObedientProgram.started.shift.end until ObedientProgram.started.empty? } }
