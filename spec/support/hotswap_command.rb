# frozen_string_literal: true

require "rbconfig"
require_relative "project"

# The real command as a child process, started as an application's bin/hotswap starts it: without RubyGems and Bundler.
# Standard input, output and error are pipes, as in a shell pipeline, unless a spec hands over something else.
class HotswapCommand
  PROGRAM = [RbConfig.ruby, "--disable-gems", "-I", Project::ROOT.join("lib").to_s, Project::ROOT.join("exe/hotswap").to_s].freeze

  # What a push says that succeeds: on a busy machine it may have to wait. Without a proof that no other process has the
  # database open, it writes in place.
  HOW, BY = Project.linux? ? %w[renamed rename] : ["written in place", "in_place"]
  WAY = Project.linux? ? /.+, \d+ bytes, renamed/ : /(In place, because .+\n)?.+, \d+ bytes, (renamed|written in place)/
  SWAPPED = /\ASwapping database\.\.\.\n(Waiting for .+\n)*#{WAY}, requests held for .+\n\z/

  # The start of why a push writes in place while a program outside the application has the database open.
  def self.in_place_beside(pid) = "In place, because the database #{open_in(pid)}"

  def self.open_in(pid) = Project.linux? ? "is open in process #{pid} " : "could be open in a process outside"

  # How a message names a process. Only Linux tells every user what a process runs.
  def self.named(pid, command = ".*") = Project.linux? ? /process #{pid} \(#{command}\)/ : /process #{pid}\b/

  # What a pull says that succeeds: to a file, and to standard output.
  PULLED = /\Aidentity: \h{32}\nOK\n\z/
  STREAMED = /\Aidentity: \h{32}\n\z/

  Result = Struct.new(:stdout, :stderr, :exit_code, :signal) do
    def success? = exit_code == 0
  end

  class TookTooLong < StandardError; end

  attr_reader :pid, :stdout, :stderr

  def self.run(*arguments, timeout: 60, **options) = start(*arguments, **options).wait(timeout)

  def self.start(...) = new(...)

  # in: an IO or a path; stdin_data: a String that goes through a pipe; out:, err: an IO or a path.
  # program: another way to the command, such as an application's bin/hotswap.
  def initialize(*arguments, chdir:, stdin_data: nil, in: nil, out: nil, err: nil, env: {}, program: PROGRAM)
    @stdout = String.new(encoding: Encoding::BINARY)
    @stderr = String.new(encoding: Encoding::UTF_8)
    @readers = []
    @child_ends = []
    redirections = {
      in: binding.local_variable_get(:in) || (stdin_data ? pipe_from(stdin_data) : File::NULL),
      out: out || pipe_into(@stdout),
      err: err || pipe_into(@stderr)
    }
    @pid = Process.spawn(Project.plain_environment(env), *program, *arguments.map(&:to_s),
      chdir: chdir.to_s, unsetenv_others: true, **redirections)
    @child_ends.each(&:close)
    @waiter = Process.detach(pid)
  end

  def running? = @waiter.alive?

  def kill(signal = :KILL) = Process.kill(signal, pid)

  def wait(timeout = 60)
    unless @waiter.join(timeout)
      kill
      raise TookTooLong, "hotswap did not end within #{timeout} s; it had said:\n#{stderr}"
    end
    @readers.each(&:join)
    status = @waiter.value
    Result.new(stdout: stdout, stderr: stderr, exit_code: status.exitstatus, signal: status.termsig)
  end

  private

  def pipe_from(data)
    reader, writer = IO.pipe(binmode: true)
    @child_ends << reader
    Thread.new do
      writer.write(data)
    rescue Errno::EPIPE
      nil # the command stopped reading: its own business, and the spec's to judge
    ensure
      writer.close
    end
    reader
  end

  def pipe_into(text)
    reader, writer = IO.pipe(binmode: true)
    @child_ends << writer
    @readers << Thread.new do
      loop { text << reader.readpartial(64 * 1024).force_encoding(text.encoding) }
    rescue EOFError
      reader.close
    end
    writer
  end
end
