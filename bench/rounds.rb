# frozen_string_literal: true

require_relative "samples"

module Bench
  # Runs its sides alternately, A B C A B C. A machine that becomes slower or faster in the meantime affects all of
  # them.
  #
  #   rounds = Rounds.run(5, hotswap: -> { push }, cp: -> { copy })
  #   rounds[:hotswap].median
  #   rounds.ratio(:hotswap, :cp)
  class Rounds
    # Each lambda returns a number, or a Hash of them. Every other round runs in reverse order, so that the effects
    # of one side on the next (dirty pages, a warm cache) are spread over all of them.
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

    # The median of the ratios of the single rounds.
    def ratio(side, other, key = nil)
      Samples.new(figures(side, key).zip(figures(other, key)).map { |ours, theirs| ours / theirs }).median
    end

    private

    def figures(side, key)
      @taken.map { |round| (key ? round.fetch(side).fetch(key) : round.fetch(side)).to_f }
    end
  end
end
