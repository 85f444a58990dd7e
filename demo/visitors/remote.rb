# frozen_string_literal: true

require "rbconfig"

class Visitors
  # Visitors in a process of their own, so that neither the one who watches them nor what it does (a copy of a
  # gigabyte, a garbage collection) delays them.
  class Remote
    PROGRAM = File.expand_path("../visitors.rb", __dir__)
    # They need nothing but the standard library, so they do not wait for a bundle to load.
    PLAIN = {"RUBYOPT" => nil, "RUBYLIB" => nil}.freeze

    attr_reader :pid

    # Their standard input ends when this process does, however that happens: no visitor outlives the host.
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

    # Sends them home without a report.
    def dismiss
      @process.close unless @process.closed?
    end
  end
end
