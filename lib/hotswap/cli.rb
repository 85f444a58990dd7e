# frozen_string_literal: true

require "io/wait"

module Hotswap
  # The command line, run inside this process against IOs of yours.
  class CLI
    # @param arguments [Array<String>] as on the command line, without the program's name; none means help
    # @param stdin [IO, StringIO] read for a source of "-"
    # @param stdout [IO, StringIO]
    # @param stderr [IO, StringIO]
    # @return [Integer] the exit status: 0 done, 1 no server, 2 usage, 3 refused, 4 busy, 5 failure
    def self.run(arguments, stdin: $stdin, stdout: $stdout, stderr: $stderr)
      new(stdin, stdout, stderr).run(arguments)
    end

    def initialize(stdin, stdout, stderr)
      @stdin = stdin
      @stdout = stdout
      @stderr = stderr
      @feeding = []
      @draining = []
    end

    # See {CLI.run}.
    def run(arguments)
      input = input_descriptor
      output = output_descriptor(@stdout)
      errors = output_descriptor(@stderr)
      descriptor = Native.start_command(arguments.map(&:to_s), Dir.pwd, input.fileno, output.fileno, errors.fileno)
      # The command has copies of its own; ours have to go for it to see, and be, an end of file.
      @ends.each(&:close)
      code = wait_for(IO.for_fd(descriptor))
      @draining.each(&:join)
      code
    ensure
      @feeding.each(&:kill).each(&:join)
    end

    private

    # A descriptor is waited for so that threads, and fibers of a reactor, go on meanwhile.
    def wait_for(done)
      done.wait_readable
      done.read(1)&.ord || 5
    ensure
      done.close
    end

    def input_descriptor
      @ends = []
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
