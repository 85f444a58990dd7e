# frozen_string_literal: true

require "fileutils"
require "tmpdir"

module Bench
  # Where measures find what they measure: databases, sites, a folder. What they started ends with their block.
  class Lab
    attr_reader :plan, :data, :quiet

    def initialize(plan, out = $stderr)
      @plan = plan
      @quiet = Quiet.new(plan.patience)
      @data = Data.new
      @out = out
    end

    def say(text) = @out.puts("  #{text}")

    # A site that serves a database of that size, for the length of the block.
    def site(size, content = Data::RANDOM_ORDER, **options)
      Dir.mktmpdir("site-", WORK) do |folder|
        site = Site.new(folder, **options)
        site.install(data.others, data.path(size, "v1", content))
        settle
        yield site.boot
      ensure
        site&.stop
      end
    end

    # See Rounds. Each thing waits for a quiet moment first.
    def rounds(count, **sides)
      Rounds.run(count, **sides.transform_values { |side| -> { after_a_quiet_moment(&side) } })
    end

    def after_a_quiet_moment
      quiet.wait
      yield
    end

    def folder(&) = Dir.mktmpdir("files-", WORK, &)

    # Nothing of what was written before is written while something else is measured.
    def settle
      Command.run("sync")
    end
  end
end
