# frozen_string_literal: true

module Bench
  # How long the command takes until it can send its first byte.
  class Start < Measure
    TARGET = {ratio: ..0.5}.freeze

    def rows
      client = File.join(ROOT, "demo/bin/hotswap")
      rounds = lab.rounds(plan.full? ? 60 : 20,
        hotswap: -> { milliseconds(Command.run(client, "version")) },
        ruby: -> { milliseconds(Command.run(RbConfig.ruby, "-e", "1")) },
        without_gems: -> { milliseconds(Command.run(RbConfig.ruby, "--disable-gems", "-e", "1")) })
      [Row.new("start of the client (hotswap version)", value: rounds[:hotswap].median, unit: "ms",
        against: {"ruby -e 1" => rounds[:ruby].median, "ruby --disable-gems -e 1" => rounds[:without_gems].median},
        ratio: rounds.ratio(:hotswap, :ruby), target: TARGET, runs: rounds.size)]
    end
  end
end
