# frozen_string_literal: true

require "timeout"

Dir[File.join(__dir__, "support/*.rb")].each { |file| require file }

# What a run leaves out. SPECS=all (bin/test sets it) adds the slow specs, SPECS=thorough (bin/test --all) those that
# take minutes, too. `--tag slow` runs just those, and `--tag package` those of the installed gem.
LEFT_OUT = {"thorough" => %i[package], "all" => %i[package thorough]}.fetch(ENV["SPECS"], %i[package thorough slow])

# No example may hang a whole run; one that honestly needs longer says `timeout: 300`.
EXAMPLE_TIMEOUT = 240
ExampleTookTooLong = Class.new(StandardError)

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.order = :random
  Kernel.srand config.seed
  config.example_status_persistence_file_path = "tmp/specs/status-#{Project.lane}.txt"
  config.expect_with(:rspec) { |expectations| expectations.max_formatted_output_length = 2_000 }

  config.filter_run_excluding(*LEFT_OUT)
  # `lane: "default"` keeps an example to one lane: its result does not depend on the versions of Rails, Puma and
  # SQLite. `:unhurried` has bin/test run it in the other lanes only with --all. `:quiet` has bin/specs run it
  # while as many files run as there are processors, because it measures time; `:alone` while no other file runs.
  config.define_derived_metadata(lane: ->(lane) { lane && lane != Project.gems }) { |metadata| metadata[:other_lane] = true }
  config.filter_run_excluding(:other_lane)
  # `:linux` keeps an example from the lane `portable`: what it expects only Linux can do.
  config.filter_run_excluding(:linux) unless Project.linux?

  config.include Eventually
  config.include Servers
  config.include Untouched
  config.extend Servers::ForAGroup

  config.around do |example|
    seconds = example.metadata.fetch(:timeout, EXAMPLE_TIMEOUT)
    Timeout.timeout(seconds, ExampleTookTooLong, "the example was not over after #{seconds} s") { example.run }
  end

  config.after do |example|
    Servers.show_logs(example) if example.exception
    stop_servers
  end

  config.after(:suite) { Servers.kill_all }
end
