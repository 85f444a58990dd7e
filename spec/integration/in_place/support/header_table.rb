# frozen_string_literal: true

require_relative "headed_database"

# Pairs of databases, a live one and one to push over it, by what their headers say.
module HeaderTable
  # grows: whether the new one is larger. copied: whether both are copies of one file, which differ in a few pages.
  Pair = Struct.new(:live, :new, :grows, :copied) do
    # Makes both files, of so many pieces.
    def make(live_path, new_path, encoding, pieces: grows ? [100, 150] : [150, 100])
      base = HeadedDatabase.new(encoding: encoding, **live, free: false).make("#{live_path}-base", pieces: 100) if copied
      [live, new].zip([live_path, new_path], pieces) do |header, path, size|
        database = HeadedDatabase.new(encoding: encoding, **header)
        copied ? database.change(base, path, pieces: size - 100) : database.make(path, pieces: size)
      end
    end

    def to_s = "#{live} -> #{new}, #{grows ? "grows" : "shrinks"}, #{copied ? "few pages" : "all pages"}"
  end

  VACUUM = %i[none full incremental].freeze
  RESERVED = [0, 8, 32].freeze
  EITHER = [true, false].freeze

  class << self
    # A sample, in which every row of the first columns is there with one of the others; or all there is.
    def pairs(all: false) = (copies(all) + strangers(all)).shuffle(random: Random.new(18))

    private

    # SQLite changes auto_vacuum from none and to none only by making the whole file anew.
    def copies(all)
      vacuum = VACUUM.product(VACUUM).select { |live, new| live == new || ![live, new].include?(:none) }
      crossed(vacuum.product(EITHER, EITHER, EITHER), RESERVED.product(%w[wal delete]), all).map do |(vacuum, live_free, new_free, grows), (reserved, mode)|
        Pair.new({vacuum: vacuum[0], free: live_free, reserved: reserved}, {vacuum: vacuum[1], free: new_free, reserved: reserved, journal_mode: mode}, grows, true)
      end
    end

    def strangers(all)
      crossed(VACUUM.product(VACUUM, [1024, 512, 4096], EITHER), RESERVED.product(RESERVED, %w[wal delete], EITHER, EITHER), all).map do |first, others|
        live, new, page_size, grows = first
        live_reserved, new_reserved, mode, live_free, new_free = others
        Pair.new({vacuum: live, free: live_free, reserved: live_reserved},
          {vacuum: new, free: new_free, reserved: new_reserved, page_size: page_size, journal_mode: mode}, grows, false)
      end
    end

    def crossed(rows, others, all)
      all ? rows.product(others) : rows.zip(others.shuffle(random: Random.new(18)).cycle)
    end
  end
end
