# frozen_string_literal: true

# One run of a file of specs, in a process of its own: forked from one that has loaded RSpec already.
class SpecRun
  FOLDER = "tmp/specs/#{ENV.fetch("HOTSWAP_LANE", "default")}".freeze

  # The processor time of the runs that have ended and of their child processes, in seconds. It does not count processes
  # that detach themselves.
  def self.processor_time = Process.times.then { |times| times.cutime + times.cstime }

  attr_reader :name, :seconds, :processor

  # stage: that of bin/specs.
  def initialize(name, stage, options)
    @name = name
    @options = options
    @log = File.join(FOLDER, "#{name.delete_prefix("spec/").tr("/", "-").delete_suffix(".rb")}-#{stage}.log")
    @result = "#{@log}.json"
  end

  # Answers the pid.
  def start(options)
    FileUtils.mkdir_p(FOLDER)
    FileUtils.rm_f([@log, @result])
    @started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    @pid = fork { run(options) }
  end

  def stop
    Process.kill(:TERM, @pid)
    Process.wait(@pid)
  end

  # processor: how much processor time it took, in seconds.
  def finish(status, processor)
    @status = status
    @processor = processor
    @seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started
    @summary = JSON.parse(File.read(@result))
  rescue Errno::ENOENT, JSON::ParserError
    @summary = {} # it ended before it had written all
  end

  # Nothing of the file was to be run.
  def empty? = @status.success? && examples.zero?

  def failed? = !@status.success?

  def examples = [count("example_count"), failures].max

  # An error outside of the examples, and a process that ends before it has told, count as one.
  def failures
    told = count("failure_count") + count("errors_outside_of_examples_count")
    (failed? && told.zero?) ? 1 : told
  end

  # What was not run, where, and why.
  def pending = listed("pending") { |example| example["pending_message"] }

  # The same of what failed.
  def failed
    examples = listed("failed") { |example| example.dig("exception", "message") }
    return examples if examples.any? || !failed?

    [in_two_lines(name, @summary.fetch("messages", []).first || "The process ended early: #{@status}")]
  end

  # What it printed, indented: bin/test takes a line of counts at the margin for that of the whole run.
  def output
    text = File.read(@log, encoding: Encoding::UTF_8).scrub
    text += "\nThe process ended early: #{@status}\n" if @summary.empty?
    text.gsub(/^(?=.)/, "    ")
  end

  def to_s
    counts = "#{examples} examples"
    counts += ", #{failures} FAILED" if failed?
    counts += ", #{pending.size} pending" if pending.any?
    format("%7.1f s, %5.1f s of a processor  %s: %s", seconds, processor, name, counts)
  end

  private

  def listed(status)
    examples = @summary.fetch("examples", []).select { |example| example["status"] == status }
    examples.map do |example|
      in_two_lines("#{example["file_path"].delete_prefix("./")}:#{example["line_number"]} #{example["full_description"]}", yield(example))
    end
  end

  def in_two_lines(what, why) = "  #{what}\n    #{why.to_s.split.join(" ")[0, 200]}"

  def count(what) = @summary.dig("summary", what) || 0

  def run(options)
    trap("TERM", "DEFAULT")
    $stdin.reopen(File::NULL)
    $stdout.reopen(@log, "w")
    $stdout.sync = true
    $stderr.reopen($stdout)
    RSpec::Core::Runner.disable_autorun!
    # Else its clock would run since the parent loaded it.
    RSpec.configuration.start_time = RSpec::Core::Time.now
    formats = ["--no-color", "--format", "documentation", "--format", "json", "--out", @result]
    exit(RSpec::Core::Runner.run([@name, *@options, *options, *formats]))
  end
end
