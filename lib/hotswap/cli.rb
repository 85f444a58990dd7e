# frozen_string_literal: true

require "io/wait"
require "json"

module Hotswap
  # The command line, run inside this process against IOs of yours. It asks the server at {Hotswap.socket_path} if this
  # process is an application that hotswap manages databases of, and otherwise the one that `bin/hotswap` would ask.
  #
  # An exception that ends the wait for it (Ctrl-C, Timeout, Thread#raise, Thread#kill, a fiber that is stopped) ends the
  # command: it propagates when the worker has stopped and nothing can be swapped any more. A push that was done before
  # that says so on stderr.
  class CLI
    # How long a command that is to end may take to do so, in seconds.
    PATIENCE = 10
    # How often that may be interrupted.
    MOST_INTERRUPTIONS = 10

    EXAMPLE = 'Hotswap::CLI.run(["cp", "database", "backup.sqlite3"])'

    # @param arguments [Array<String>] as on the command line, without the program's name; none means help
    # @param stdin [IO, StringIO] read for a source of "-"
    # @param stdout [IO, StringIO]
    # @param stderr [IO, StringIO]
    # @return [Integer] the exit status: 0 done, 1 no server, 2 usage, 3 refused, 4 busy, 5 failure. A push from inside a
    #   request or a job, which would wait for itself, is refused
    # @raise [ArgumentError] if the arguments are no Array
    def self.run(arguments, stdin: $stdin, stdout: $stdout, stderr: $stderr)
      new(stdin, stdout, stderr).run(arguments)
    end

    def initialize(stdin, stdout, stderr)
      @stdin = stdin
      @stdout = stdout
      @stderr = stderr
      @ends = []
      @feeding = []
      @draining = []
    end

    # See {CLI.run}.
    def run(arguments)
      raise ArgumentError, "the arguments are an Array, as in #{EXAMPLE}, not #{arguments.inspect}" unless arguments.is_a?(Array)

      command = Native::Command.new
      begin
        start(command, arguments.map(&:to_s))
        wait(command)
        code = command.code
      ensure
        end_it(command) unless code
      end
      @draining.each(&:join)
      code
    ensure
      @feeding.each(&:kill).each(&:join)
      command&.close
    end

    private

    def start(command, arguments)
      streams = [input_descriptor, output_descriptor(@stdout), output_descriptor(@stderr)]
      command.start(arguments, FileName.current_folder, streams.map(&:fileno), own_socket, (JSON.generate(Server.job) if Gate.inside?))
    ensure
      # The command has copies of its own; ours have to go for it to see, and be, an end of file.
      @ends.each(&:close)
    end

    # @return [String, nil] nil where this process is no application of its own
    def own_socket
      Hotswap.socket_path if Hotswap.databases.any? || Hotswap.configuration.socket_path != Configuration::SOCKET_PATH
    end

    # A descriptor is waited for so that threads, and fibers of a reactor, go on meanwhile.
    def wait(command, timeout = nil)
      descriptor = command.descriptor #: Integer
      IO.for_fd(descriptor, autoclose: false).wait_readable(timeout)
    end

    # Has the command end, and waits until its worker has. What interrupts that as well is raised when it is over.
    def end_it(command)
      deadline = Gate.now + PATIENCE
      interruptions = []
      begin
        # In this order: with the command still going on, the end of the input would be taken for the end of the data.
        command.abort
        @feeding.each(&:kill)
        undisturbed { wait_for_end(command, deadline) }
      rescue Exception => error # rubocop:disable Lint/RescueException -- also a second Ctrl-C
        interruptions << error
        retry if interruptions.size < MOST_INTERRUPTIONS && Gate.now < deadline
      end
      raise interruptions.last if interruptions.any?
    end

    # Fibers of a reactor share their thread's mask of interrupts, and are not to change it for each other.
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

    def input_descriptor
      return @stdin if @stdin.is_a?(IO)

      reader, writer = IO.pipe(binmode: true)
      @ends << reader
      @feeding << Thread.new do
        IO.copy_stream(@stdin, writer)
      rescue Errno::EPIPE
        # The command has read all it wants.
      ensure
        writer.close
      end
      reader
    end

    def output_descriptor(io)
      if io.is_a?(IO)
        io.flush
        return io
      end
      reader, writer = IO.pipe(binmode: true)
      @ends << writer
      @draining << Thread.new do
        IO.copy_stream(reader, io)
      ensure
        reader.close
      end
      writer
    end
  end
end
