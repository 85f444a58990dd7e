# frozen_string_literal: true

require_relative "samples"

module Bench
  # Things measured in turn, A B C A B C: a machine that grows slower or faster meanwhile does it to all of them.
  #
  #   rounds = Rounds.run(5, hotswap: -> { push }, cp: -> { copy })
  #   rounds[:hotswap].median
  #   rounds.ratio(:hotswap, :cp)
  class Rounds
    # Each lambda answers a number, or a Hash of them. Every other round goes backwards, so that what one
    # thing leaves behind for the next (dirty pages, a warm cache) falls on each in turn.
    def self.run(count, **sides)
      taken = Array.new(count) do |round|
        names = round.even? ? sides.keys : sides.keys.reverse
        names.to_h { |name| [name, sides.fetch(name).call] }
      end
      new(taken)
    end

    def initialize(taken)
      @taken = taken
    end

    def size = @taken.size

    def [](side, key = nil) = Samples.new(figures(side, key))

    # The median of the rounds' own ratios.
    def ratio(side, other, key = nil)
      Samples.new(figures(side, key).zip(figures(other, key)).map { |ours, theirs| ours / theirs }).median
    end

    private

    def figures(side, key)
      @taken.map { |round| (key ? round.fetch(side).fetch(key) : round.fetch(side)).to_f }
    end
  end
end
