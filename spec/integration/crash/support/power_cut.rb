# frozen_string_literal: true

# The folders that a disk may hold after a power cut: everything that was synced, and any part of the rest in any order.
# Computed from the folder before, and the calls since then.
#
# Content is durable when its file was synced, names when their folder was; a rename happens as a whole or not at all.
class PowerCut
  # Calls that change nothing need no power cut.
  CHANGES = %w[create open write copy_file_range reflink truncate unlink link rename fsync fdatasync report].freeze

  # More names than this that wait for a sync are not tried in all combinations, but in so many at random.
  ALL = 6
  SOME = 48

  # What SQLite opens afterwards, super-journals included. Scratch files come and go next to it, and most calls are about
  # them.
  KEPT = /\.sqlite3(-wal|-journal|-mj\h+|\.previous)?\z/

  def initialize(folder, seed: 1)
    @folder = folder
    @names = {}
    @contents = {}
    folder.children.select(&:file?).each do |file|
      @names[file.basename.to_s] = file.stat.ino
      @contents[file.stat.ino] = file.binread
    end
    @renamed = []
    @written = Hash.new { |all, inode| all[inode] = [] }
    @chance = Random.new(seed)
  end

  # Adds a call. Returns false if the call adds no new folder that could be found.
  def add(call)
    return false unless call.succeeded? && CHANGES.include?(call.call)
    return false if call.call == "open" && call.at.zero?

    case call.call
    when "create" then begin_file(call)
    when "open" then @written[call.inode] << [:cut, 0]
    when "write", "copy_file_range", "reflink" then @written[call.inode] << [:put, call.at, call.data]
    when "truncate" then @written[call.inode] << [:cut, call.at]
    when "unlink" then @renamed << ->(names) { names.delete(call.file) }
    when "link" then @renamed << ->(names) { names[call.file] = call.inode }
    when "rename" then @renamed << lambda { |names|
      names.delete(call.file)
      names[call.to] = call.inode
    }
    when "fsync", "fdatasync" then (call.file == "folder") ? sync_names : sync_content(call.inode)
    end
    true
  end

  # Every folder that may be found, as names and contents.
  def folders
    names = chosen_names.map { |found| found.select { |name,| name.match?(KEPT) } }.uniq
    contents = [->(_) { [] }, ->(writes) { writes }, ->(writes) { writes.select { @chance.rand < 0.5 } }]
    names.product(contents).map do |found, choose|
      written = Hash.new { |all, inode| all[inode] = apply(@contents.fetch(inode, ""), choose.call(@written[inode])) }
      found.transform_values { |inode| written[inode] }
    end
  end

  private

  def begin_file(call)
    # A number that was another file's before.
    @contents.delete(call.inode)
    @written.delete(call.inode)
    @renamed << ->(names) { names[call.file] = call.inode } unless call.file == "nameless"
  end

  def sync_names
    @renamed.each { |change| change.call(@names) }
    @renamed.clear
  end

  def sync_content(inode)
    @contents[inode] = apply(@contents.fetch(inode, ""), @written.delete(inode) || [])
  end

  def chosen_names
    count = @renamed.size
    choices = (count <= ALL) ? (0...2**count) : [0, 2**count - 1, *Array.new(SOME) { @chance.rand(2**count) }]
    choices.map do |choice|
      @names.dup.tap { |names| @renamed.each_with_index { |change, nth| change.call(names) if choice[nth] == 1 } }
    end
  end

  def apply(content, writes)
    writes.reduce(content.dup) do |bytes, (kind, at, data)|
      missing = at - bytes.bytesize
      bytes << ("\0" * missing).b if missing.positive?
      (kind == :cut) ? bytes.byteslice(0, at) : bytes.tap { bytes.bytesplice(at, [data.bytesize, bytes.bytesize - at].min, data) }
    end
  end
end
