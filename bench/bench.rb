# frozen_string_literal: true

require "fileutils"
require "json"
require "rbconfig"
require "tmpdir"

# Every program that is started from here on gets the environment of a user's terminal. With the variables that
# `bundle exec` sets, every Ruby would load this bundle, which takes longer than the measured command.
ENV.replace(Bundler.original_env)

module Bench
  ROOT = File.expand_path("..", __dir__)
  WORK = File.join(ROOT, "tmp/bench")
end

require_relative "clock"
require_relative "machine"
require_relative "bundle"
require_relative "command"
require_relative "system_process"
require_relative "swap_log"
require_relative "watch"
require_relative "site"
require_relative "data"
require_relative "plan"
require_relative "quiet"
require_relative "lab"
require_relative "load"
require_relative "rounds"
require_relative "row"
require_relative "table"
require_relative "results"
require_relative "measure"
# In the order of the table.
%w[start status gate throughput slow_neighbour push busy in_place tables silence slow_disk pull pull_under_load memory closed undo tenants fleet].each { |name| require_relative "measures/#{name}" }

module Bench
  # `bin/bench`, from its arguments to its exit status.
  class Run
    USAGE = <<~TEXT
      usage: bin/bench [quick] [MEASURE...]

        quick     smaller databases and fewer rounds: three minutes
        MEASURE   only these: #{Measure.all.map(&:title).join(", ")}

      BENCH_4GB=1          4 GB as well
      BENCH_SWAPS=N        how many swaps in each mode of the fleet
      HOTSWAP_NAMESAKE=DIR compare with a checkout of the Ruby gem of the same name
    TEXT

    def initialize(arguments)
      @arguments = arguments
    end

    # 0: everything was measured, no matter the results; 1: something could not be measured; 2: usage.
    def status
      quick = @arguments.delete("quick")
      measures = chosen or return complain
      plan = quick ? Plan.quick : Plan.full
      FileUtils.mkdir_p(WORK)
      puts Machine, "load of other programs at the start: #{Machine.load.round(2)}", ""
      measured = measures.to_h { |measure| [measure, rows_of(measure, plan)] }
      tell(measured)
    end

    private

    def chosen
      unknown = @arguments - Measure.all.map(&:title)
      return if unknown.any?

      @arguments.empty? ? Measure.all : Measure.all.select { |measure| @arguments.include?(measure.title) }
    end

    def complain
      help = (@arguments & %w[-h --help help]).any?
      (help ? $stdout : $stderr).puts USAGE
      help ? 0 : 2
    end

    # Returns nil if the measure failed. The others still run.
    def rows_of(measure, plan)
      warn "#{measure.title}:"
      lab = Lab.new(plan)
      measure.new(lab).rows.tap do |rows|
        Results.keep(measure, plan, rows, lab.quiet.doubt)
        puts [measure.title, *lab.quiet.doubt].join("; "), "", Table.new(rows), ""
        $stdout.flush
      end
    rescue => error
      warn "  #{measure.title} was not measured: #{error.full_message(highlight: false)}"
      nil
    end

    def tell(measured)
      failed, done = measured.partition { |_, rows| rows.nil? }.map(&:to_h)
      rows = done.values.flatten
      judged = rows.reject { |row| row.met?.nil? }
      puts "#{judged.count(&:met?)} of #{judged.size} targets met; load of other programs at the end: #{Machine.load.round(2)}"
      judged.reject(&:met?).each { |row| puts "  not met: #{row.name}" }
      rows.reject(&:measured?).each { |row| puts "  #{row.name}: #{row.note}" }
      puts "  not measured: #{failed.keys.map(&:title).join(", ")}" if failed.any?
      failed.empty? ? 0 : 1
    end
  end
end

exit Bench::Run.new(ARGV.dup).status if $PROGRAM_NAME == __FILE__
