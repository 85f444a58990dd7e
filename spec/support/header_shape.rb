# frozen_string_literal: true

require "sqlite3"

# What the header of a database says, apart from its content. Databases of a shape end with the last page that SQLite
# filled: VACUUM puts the tree that was made last at the end of the file.
HeaderShape = Struct.new(:page_size, :auto_vacuum, :ids, :journal_mode, :reserved) do
  # Every combination.
  def self.all
    page_sizes = (9..16).map { |bits| 1 << bits }
    page_sizes.product((0..2).to_a, [0, 0x686f7473], %w[wal delete], [0, 8, 32]).map do |values|
      new(**members.zip(values).to_h)
    end
  end

  # Makes a database of this shape at `path`, anew; the block fills it.
  def create(path)
    FileUtils.rm_f(path)
    edit(path) { |db| db.execute_batch("PRAGMA page_size = #{page_size}; PRAGMA auto_vacuum = #{auto_vacuum}; PRAGMA user_version = #{ids}") }
    reserve(path)
    edit(path) do |db|
      db.execute_batch("PRAGMA application_id = #{ids}; PRAGMA journal_mode = #{journal_mode}; PRAGMA synchronous = OFF")
      yield db
      db.execute("VACUUM")
    end
    path
  end

  # Of a file, for a comparison with what was asked for.
  def self.of(path)
    header = File.binread(path, 100)
    db = SQLite3::Database.new(path)
    pragma = ->(name) { db.get_first_value("PRAGMA #{name}") }
    new(page_size: pragma["page_size"], auto_vacuum: pragma["auto_vacuum"], ids: pragma["application_id"],
      journal_mode: pragma["journal_mode"], reserved: header.getbyte(20))
  ensure
    db&.close
  end

  def to_s = to_h.map { |name, value| "#{name} #{value}" }.join(", ")

  private

  def edit(path)
    db = SQLite3::Database.new(path)
    yield db
  ensure
    db&.close
  end

  # The bytes that an extension keeps for itself at the end of every page. No pragma sets them. The file has one page,
  # without a cell: its content begins where these bytes do.
  def reserve(path)
    File.open(path, "r+b") do |file|
      file.pwrite([reserved].pack("C"), 20)
      file.pwrite([page_size - reserved].pack("n"), 105)
    end
  end
end
