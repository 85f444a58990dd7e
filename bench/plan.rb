# frozen_string_literal: true

require_relative "data"

module Bench
  # How much is measured, and how often.
  #
  # @!attribute sizes of the databases that are pushed and pulled
  # @!attribute big the size that is pushed and pulled under load
  # @!attribute rounds for each size, how often things are measured in turn
  # @!attribute seconds of load in a round of throughput
  # @!attribute swaps in each mode of the fleet
  # @!attribute modes [server, preload, workers] of the fleet
  # @!attribute patience seconds to wait for a quiet moment before each thing that is measured
  # @!attribute fleets numbers of workers with which the closed gate is measured
  Plan = Struct.new(:name, :sizes, :big, :rounds, :load_rounds, :seconds, :swaps, :modes, :fleets, :patience) do
    def self.full
      sizes = Data::SIZES.values_at("1 MB", "100 MB", "1 GB", *("4 GB" if ENV["BENCH_4GB"]))
      new(name: "full", sizes: sizes, big: Data::SIZES["1 GB"], load_rounds: 3, seconds: 4,
        rounds: {"1 MB" => 9, "100 MB" => 5, "1 GB" => 3, "4 GB" => 2}, swaps: Integer(ENV.fetch("BENCH_SWAPS", 100)),
        modes: [[:puma, true], [:puma, false], [:rails, true]].product([1, 16]).map(&:flatten), fleets: [1, 4, 16],
        patience: patience(5))
    end

    # Three minutes, with smaller databases and fewer rounds: shows whether something is broken, but gives no figures
    # to quote.
    def self.quick
      new(name: "quick", sizes: Data::SIZES.values_at("1 MB", "100 MB"), big: Data::SIZES["100 MB"], load_rounds: 2,
        seconds: 2, rounds: {"1 MB" => 5, "100 MB" => 3}, swaps: Integer(ENV.fetch("BENCH_SWAPS", 10)),
        modes: [[:puma, true, 1], [:puma, false, 4]], fleets: [1, 4], patience: patience(0.5))
    end

    def self.patience(usual) = Float(ENV.fetch("BENCH_PATIENCE", usual))

    def rounds_of(size) = rounds.fetch(size.label)

    def full? = name == "full"
  end
end
