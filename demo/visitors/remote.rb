# frozen_string_literal: true

require "rbconfig"

class Visitors
  # Visitors in a separate process, so that the process that watches them does not delay them, nor its work (a copy
  # of a gigabyte, a garbage collection).
  class Remote
    PROGRAM = File.expand_path("../visitors.rb", __dir__)
    # They need only the standard library, so they do not wait for a bundle to load.
    PLAIN = {"RUBYOPT" => nil, "RUBYLIB" => nil}.freeze

    attr_reader :pid

    # The visitors' standard input ends when this process does, no matter how, so no visitor outlives it.
    def initialize(**options)
      arguments = options.flat_map { |name, value| ["--#{name.to_s.tr("_", "-")}", value.to_s] }
      @process = IO.popen([PLAIN, RbConfig.ruby, PROGRAM, "--while-stdin", "--report", "-", *arguments], "r+")
      @pid = @process.pid
      return if @process.gets == "visiting\n"

      @process.close
      raise "the visitors did not start"
    end

    def finish
      Process.kill("TERM", pid)
      report = @process.read
      @process.close
      raise "the visitors ended with #{$?}" unless $?.success?

      Report.parse(report)
    end

    # Ends the visitors without a report.
    def dismiss
      @process.close unless @process.closed?
    end
  end
end
