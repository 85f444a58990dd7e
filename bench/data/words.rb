# frozen_string_literal: true

module Bench
  class Data
    # Texts of words that come again, some often and most seldom, for a full-text index to have something to do.
    module Words
      SYLLABLES = %w[ka lo mi re su ta vo ne pri sha lu gon der mat].freeze
      CHANCE = Random.new(2024)
      ALL = Array.new(4000) { Array.new(CHANCE.rand(2..5)) { SYLLABLES.sample(random: CHANCE) }.join }.freeze
      PARAGRAPHS = Array.new(500) { Array.new(CHANCE.rand(30..90)) { ALL[(CHANCE.rand**2 * ALL.size).to_i] }.join(" ") }.freeze

      TABLE = "CREATE TEMP TABLE paragraphs (id integer PRIMARY KEY, text); " \
        "INSERT INTO paragraphs (text) VALUES #{PARAGRAPHS.map { |text| "('#{text}')" }.join(", ")};".freeze

      # An expression for so many of them, in a statement that counts with i, after TABLE.
      def self.paragraphs(range)
        last = PARAGRAPHS.size - range.max
        "(SELECT group_concat(text, char(10)) FROM (SELECT text FROM paragraphs WHERE id > abs(random()) % #{last} + 0 * i " \
          "LIMIT #{range.min} + abs(random()) % #{range.max - range.min + 1}))"
      end
    end
  end
end
