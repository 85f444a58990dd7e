# frozen_string_literal: true

module Bench
  # How long `hotswap status` takes for three workers and four databases.
  class Status < Measure
    TARGET = {value: ...150}.freeze
    WORKERS = 3

    def rows
      lab.site(Data::SIZES["1 MB"], workers: WORKERS) do |site|
        rounds = lab.rounds(plan.full? ? 60 : 20,
          status: -> { milliseconds(site.ask("status")) },
          version: -> { milliseconds(site.ask("version")) })
        [Row.new("hotswap status, #{WORKERS} workers and 4 databases", value: rounds[:status].median, unit: "ms",
          against: {"hotswap version" => rounds[:version].median}, target: TARGET, runs: rounds.size)]
      end
    end
  end
end
