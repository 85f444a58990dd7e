# frozen_string_literal: true

require "fileutils"
require "tmpdir"

module Bench
  # Provides the databases, sites and folders that measures need. Programs started in a block end with the block.
  class Lab
    attr_reader :plan, :data, :quiet

    def initialize(plan, out = $stderr)
      @plan = plan
      @quiet = Quiet.new(plan.patience)
      @data = Data.new
      @out = out
    end

    def say(text) = @out.puts("  #{text}")

    # Runs the block with a site that serves a database of that size.
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

    # See Rounds. Each side waits for a quiet moment first.
    def rounds(count, **sides)
      Rounds.run(count, **sides.transform_values { |side| -> { after_a_quiet_moment(&side) } })
    end

    def after_a_quiet_moment
      quiet.wait
      yield
    end

    def folder(&) = Dir.mktmpdir("files-", WORK, &)

    # Syncs, so that nothing written earlier goes to the disk during a measurement.
    def settle
      Command.run("sync")
    end
  end
end
