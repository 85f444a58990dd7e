# frozen_string_literal: true

require "io/wait"
require "json"
require "stringio"

module Hotswap
  # Runs the command line inside this process, with the caller's IOs. If hotswap manages databases of this process,
  # the command connects to the server at {Hotswap.socket_path}. If no process listens there, this process starts the
  # worker itself. If hotswap manages no database of this process, the command connects to the server that `bin/hotswap`
  # would use.
  #
  # An exception that interrupts the wait (Ctrl-C, Timeout, Thread#raise, Thread#kill, a fiber that is stopped) ends
  # the command. It propagates when the worker has stopped and no swap can happen any more. If the push was complete
  # before that, a line on stderr says so.
  class CLI
    # How long an interrupted command may take to end, in seconds.
    PATIENCE = 10
    # How often that wait may itself be interrupted.
    MOST_INTERRUPTIONS = 10

    # How much is read from a stream at a time, in bytes.
    CHUNK = 64 * 1024

    # The options whose value may be the next argument.
    VALUED = %w[--in-place --timeout --max-pause --if-match --max-shrink --only --except --probe --probe-timeout --label --socket].freeze

    EXAMPLE = 'Hotswap::CLI.run(["cp", "database", "backup.sqlite3"])'

    # How a command ended: its exit status, why it failed, and what it did, as `--json` prints it.
    Outcome = Data.define(:code, :error, :figures)

    # @param arguments [Array<String>] as on the command line, without the program's name; none means help
    # @param stdin [IO, StringIO] read if the source is "-"
    # @param stdout [IO, StringIO]
    # @param stderr [IO, StringIO]
    # @return [Integer] the exit status: 0 done, 1 no server, 2 usage, 3 refused, 4 busy, 5 failure, 6 changed,
    #   7 rolled back. A push from inside a request or a job would wait for itself, so it is refused
    # @raise [ArgumentError] if the arguments are not an Array
    # @raise what stdin raises while it is read, or stdout while it is written to
    def self.run(arguments, stdin: $stdin, stdout: $stdout, stderr: $stderr)
      new(stdin, stdout, stderr).run(arguments).code
    end

    # @api private
    # @param folder [String, nil] what relative paths of the command line are relative to
    def initialize(stdin, stdout, stderr, folder = FileName.current_folder)
      @stdin = stdin
      @stdout = stdout
      @stderr = stderr
      @folder = folder
      @opened = []
      @feeding = []
      @draining = []
    end

    # See {CLI.run}.
    # @return [Outcome]
    def run(arguments)
      raise ArgumentError, "the arguments must be an Array, as in #{EXAMPLE}, not #{arguments.inspect}" unless arguments.is_a?(Array)

      arguments = arguments.map(&:to_s)
      closed = replace_closed(arguments)
      return complain(closed) if closed

      command = @command = Native::Command.new
      begin
        start(command, arguments)
        wait(command)
        outcome = command.outcome
      ensure
        end_it(command) unless outcome
      end
      @draining.each(&:join)
      broken = @broken
      raise broken if broken

      told(outcome)
    ensure
      @feeding.each(&:kill).each(&:join)
      command&.close
    end

    private

    # A program may have closed standard streams that a command does not need.
    # @return [String, nil] the one that it does need
    def replace_closed(arguments)
      *sources, target = sides(arguments)
      source = sources.first
      @pulls = target == "-"
      needed = "input" if closed?(@stdin) && source == "-"
      needed = "output" if closed?(@stdout) && target == "-"
      @stdin, @stdout, @stderr = [@stdin, @stdout, @stderr].map { |io| closed?(io) ? null : io }
      needed && "standard #{needed} is closed"
    end

    # @return [Array<String>] every SRC, and DST
    def sides(arguments)
      arguments.drop(1).reject.with_index do |argument, index|
        (argument.start_with?("-") && argument != "-") || VALUED.include?(arguments[index])
      end
    end

    def closed?(io)
      io.respond_to?(:closed?) && io.closed?
    end

    def null
      File.open(File::NULL, "r+").tap { |file| @opened << file }
    end

    def complain(why)
      @stderr.puts("ERROR: #{why}")
      @opened.each(&:close)
      Outcome.new(code: 2, error: why, figures: {})
    end

    def told(outcome)
      code, error, figures = outcome
      Outcome.new(code: code, error: error, figures: figures ? JSON.parse(figures, symbolize_names: true) : {})
    end

    def start(command, arguments)
      streams = [@stdin, @stdout, @stderr]
      # The command makes a pipe in place of a stream that has no descriptor.
      descriptors = streams.map { |stream| stream.tap(&:flush).fileno if stream.is_a?(IO) }
      command.start(arguments, @folder, descriptors, application, [Gate.inside?, in_transaction])
      feed(command) unless descriptors.first
      [1, 2].each { |number| drain(command, number, streams[number]) unless descriptors[number] }
    ensure
      @opened.each(&:close)
    end

    # @return [Array, nil] nil if this process has no application of its own
    def application
      Hotswap.register_chosen
      Hotswap.runtime.server.description
    end

    # @return [Array<String>] the databases on which this thread has a transaction open
    def in_transaction
      ActiveRecordConnections.loaded? ? ActiveRecordConnections.own_transactions : []
    end

    # Waits for a descriptor, so that other threads, and other fibers of a reactor, can run in the meantime.
    def wait(command, timeout = nil)
      descriptor = command.descriptor #: Integer
      IO.for_fd(descriptor, autoclose: false).wait_readable(timeout)
    end

    # Ends the command, and waits until its worker has ended. Raises an exception that interrupts this wait when the
    # wait is over.
    def end_it(command)
      deadline = Gate.now + PATIENCE
      interruptions = []
      begin
        # In this order: a command that is still running would take the end of the input for the end of the data.
        command.abort
        @feeding.each(&:kill)
        undisturbed { wait_for_end(command, deadline) }
      rescue Exception => error # rubocop:disable Lint/RescueException -- also a second Ctrl-C
        interruptions << error
        retry if interruptions.size < MOST_INTERRUPTIONS && Gate.now < deadline
      end
      raise interruptions.last if interruptions.any?
    end

    # The fibers of a reactor share their thread's interrupt mask, so they must not change it.
    def undisturbed(&block)
      return yield if Fiber.current_scheduler

      Thread.handle_interrupt(Object => :never, &block)
    end

    def wait_for_end(command, deadline)
      return unless command.descriptor

      if wait(command, [deadline - Gate.now, 0].max)
        @draining.each { |thread| thread.join([deadline - Gate.now, 0].max) }
      else
        @stderr.puts("Interrupted, but the server has not confirmed that it stopped. See the application's log")
      end
    end

    def feed(command)
      @feeding << in_thread(command, 0, "wb") do |writer|
        # With new strings, or with IO#write, which keeps a copy, the garbage would take tens of megabytes.
        arguments = @stdin.is_a?(StringIO) ? [CHUNK, String.new(capacity: CHUNK)] : [CHUNK]
        # Not every stream returns nil at its end. If the stream forks, the child has no pipe.
        until (chunk = @stdin.read(*arguments)).nil? || chunk.empty? || command.pipe(0).nil?
          begin
            chunk = chunk.byteslice(writer.syswrite(chunk)..) until chunk.empty?
          rescue Errno::EPIPE
            break # The command has stopped reading.
          end
        end
      rescue Exception => error # rubocop:disable Lint/RescueException -- what the stream raises is for the caller
        break_off(error)
      end
    end

    def drain(command, number, stream)
      @draining << in_thread(command, number, "rb") do |reader|
        # If the stream forks, the child has no pipe.
        while command.pipe(number) && (rest = read(reader))
          # A stream may take a part of what it is given, and returns how much that was.
          while (taken = stream.write(rest)).is_a?(Integer) && taken < rest.bytesize
            raise IOError, "#{stream.class}#write took nothing" unless taken.positive?

            rest = rest.byteslice(taken..)
          end
        end
      rescue => error
        # In a push, an output that does not work misses only lines.
        break_off(error) if @pulls && number == 1
      end
    end

    # @return [String, nil] nil when the command has ended
    def read(reader)
      reader.readpartial(CHUNK)
    rescue EOFError
      nil
    end

    def in_thread(command, number, mode)
      Thread.new do
        descriptor = command.pipe(number) #: Integer
        yield IO.for_fd(descriptor, mode, autoclose: false)
      ensure
        command.close_pipe(number)
      end
    end

    # Ends the command, because a stream of the caller does not work. In this order: the end of the data comes later,
    # and then the command must not take it for the end of a complete database.
    def break_off(error)
      @broken ||= error
      @command.abort
    end
  end
end
