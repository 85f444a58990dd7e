# frozen_string_literal: true

require_relative "../../file_systems/support/mounted_server"

# Cuts the power of a real file system while pushes run: clones its image at random moments, and later mounts each clone, as
# a machine does when the power is back. What the file system had not written is lost in the clone.
#
# A clone must be of one moment, so the image lies on an XFS of its own, whose kernel clones a file as a whole.
class PowerCuts
  FICLONE = 0x40049409
  # Whole, in place, and the rows of a table.
  WAYS = [[], ["--in-place=always"], ["--only", "items"]].freeze
  ROWS = 300

  Cut = Struct.new(:image, :confirmed, :begun)

  attr_reader :broken

  def initialize(kind, seed: 1)
    @kind = kind
    @chance = Random.new(seed)
    @broken = []
    @found = Hash.new(0)
    @confirmed = @begun = 0
    @length = 0.3
  end

  def run(count)
    outer = Dir.mktmpdir("hs")
    folder = File.join(outer, "images").tap { |path| Dir.mkdir(path) }
    @images = MountedFolder.new(:xfs, folder, megabytes: 4_000).mount
    cuts = cut_while_pushing(count)
    cuts.each { |cut| judge(cut) }
    self
  ensure
    @images&.unmount
    FileUtils.rm_rf(outer) if outer
  end

  def to_s
    "#{@kind}: #{@found.values.sum} power cuts in #{@begun} pushes: #{@found.map { |what, times| "#{what} #{times}" }.join(", ")}; #{broken.size} broken"
  end

  private

  def cut_while_pushing(count)
    @app = MountedServer.start(on: @kind, image: File.join(@images.folder, "live")) { |app| offer(app, 0, "app.sqlite3", "wal") }
    # Nothing has made the first database durable.
    system("sync", "--file-system", @app.database_path)
    pushing = true
    pusher = Thread.new { push while pushing }
    Array.new(count) do |number|
      # At any moment of a push.
      sleep @chance.rand(@length)
      raise "no push runs any more" unless pusher.alive?

      cut(number)
    end
  ensure
    pushing = false
    pusher&.join
    @app&.tear_down
  end

  def push
    offer(@app, @begun + 1, "new.sqlite3", "delete")
    @begun += 1
    begun = Eventually.now
    result = @app.hotswap("cp", WatchedServer::NEW, WatchedServer::LIVE, *WAYS[@begun % WAYS.size])
    return @broken << "push #{@begun}: #{result.stderr}" unless result.success?

    @length = Eventually.now - begun
    @confirmed = @begun
  end

  # Each row has the number of the push.
  def offer(app, number, name, mode)
    app.file("storage/#{name}", ItemsServer::SCHEMA, Array.new(ROWS) { |row| "#{number} #{row} #{"and so on " * @chance.rand(200)}" }, journal_mode: mode)
  end

  def cut(number)
    image = File.join(@images.folder, "cut-#{number}")
    confirmed = @confirmed
    File.open(image, "w") { |clone| File.open(@app.disk.image) { |live| clone.ioctl(FICLONE, live.fileno) } }
    Cut.new(image, confirmed, @begun)
  end

  # When the power is back.
  def judge(cut)
    folder = Dir.mktmpdir("hs")
    mounted = MountedFolder.new(@kind, folder, image: cut.image).mount_again
    said = TestDatabase.integrity(File.join(folder, "app.sqlite3"))
    numbers = TestDatabase.read(File.join(folder, "app.sqlite3")) { |db| db.execute("SELECT name FROM items").flatten.map(&:to_i) }
    found = numbers.uniq
    whole = said == "ok" && found.one? && numbers.size == ROWS && found.first.between?(cut.confirmed, cut.begun)
    return @broken << "#{@kind}, #{cut.confirmed} was confirmed and #{cut.begun} begun: #{numbers.size} rows of #{found.join(" ")}; #{said}" unless whole

    state = (found == [cut.begun]) ? "new" : "old"
    @found[(cut.confirmed == cut.begun) ? "between two pushes" : state] += 1
  rescue SystemCallError, SQLite3::Exception, MountedFolder::CannotMount => error
    @broken << "#{@kind}, #{cut.confirmed} was confirmed and #{cut.begun} begun: #{error.message}"
  ensure
    mounted&.unmount
    Dir.rmdir(folder)
    FileUtils.rm_f(cut.image)
  end
end
