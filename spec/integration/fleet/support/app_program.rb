# frozen_string_literal: true

# A console, a runner script or a job process: a process of the application that serves no requests.
class AppProgram
  include Eventually

  attr_reader :pid

  def self.started = (@started ||= [])

  def initialize(app, *command, env: {})
    @output = app.root.join("log/program-#{AppProgram.started.size}-#{Process.pid}.log")
    reader, @input = IO.pipe
    out = File.open(@output, "a")
    @pid = Process.spawn(DemoApp.environment(env), *command, chdir: app.root.to_s, unsetenv_others: true,
      in: reader, out: out, err: out, pgroup: true)
    reader.close
    out.close
    @waiter = Process.detach(@pid)
    AppProgram.started << self
  end

  # Its standard output is a file, so Ruby would buffer what the console prints.
  def self.console(app, *options)
    new(app, *Project::RUBY, "bin/rails", "console", *options, "--", "--noautocomplete", "--nomultiline")
      .tap { |console| console.say("$stdout.sync = true") }
  end

  def self.runner(app, code) = new(app, *Project::RUBY, "bin/rails", "runner", code)

  def say(line)
    @input.puts(line)
    @input.flush
  end

  def output = File.read(@output, encoding: "UTF-8").scrub

  # Waits until the program has printed the text.
  def wait_for(text, timeout = 30)
    eventually(timeout, every: 0.05) { output.include?(text) || (!alive? && raise("it ended: #{output}")) }
  end

  def alive? = @waiter.alive?

  def status(timeout = 30)
    @waiter.join(timeout) or raise "process #{pid} did not end; it said:\n#{output}"
    @waiter.value
  end

  # Closes the standard input of the program, and waits until the program ends.
  def finish
    @input.close unless @input.closed?
    @waiter.join(15) || stop
  end

  def stop
    Process.kill(:CONT, pid)
    Process.kill(:KILL, -pid)
  rescue Errno::ESRCH
    nil # it has ended by itself
  ensure
    @waiter.join
  end

  def self.stop_all
    started.shift.stop until started.empty?
  end
end

RSpec.configure { |config| config.prepend_after { AppProgram.stop_all } } if defined?(RSpec)
