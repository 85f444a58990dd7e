# frozen_string_literal: true

# A file system in memory, served to the kernel through /dev/fuse: ruby server.rb FOLDER
#
# It says "mounted", and then takes a line at a time: "hold fsyncdir getattr" leaves every further request of these kinds
# without an answer, "answer" gives all answers that are due; "refuse setattr EPERM" has them answered with that error. After the end of its input it goes, and every process that
# waits for it gets an error.
class FuseServer
  KINDS = {
    1 => :lookup, 2 => :forget, 3 => :getattr, 4 => :setattr, 8 => :mknod, 9 => :mkdir, 10 => :unlink, 11 => :rmdir, 12 => :rename, 13 => :link,
    14 => :open, 15 => :read, 16 => :write, 17 => :statfs, 18 => :release, 20 => :fsync, 25 => :flush, 26 => :init, 27 => :opendir,
    28 => :readdir, 29 => :releasedir, 30 => :fsyncdir, 33 => :setlkw, 35 => :create, 36 => :interrupt, 38 => :destroy, 42 => :batch_forget, 45 => :rename2,
    51 => :tmpfile
  }.freeze
  SILENT = %i[forget batch_forget interrupt].freeze
  FOLDER = 0o040000
  TYPE = 0o170000
  ROOT = 1
  # 7.31, as in Linux 5.4.
  VERSION = [7, 31].freeze
  # The kernel asks for each flock.
  FLAGS = 1 << 10
  LONGEST_WRITE = 128 * 1024

  Node = Struct.new(:id, :mode, :uid, :gid, :links, :data, :children, :changed)

  def initialize(folder)
    @nodes = {}
    @held = []
    @refused = {}
    @due = []
    make(FOLDER | 0o755, 0, 0)
    @kernel = File.open("/dev/fuse", "r+b")
    options = "fd=#{@kernel.fileno},rootmode=40000,user_id=0,group_id=0,allow_other"
    mounted = system("mount", "-i", "-t", "fuse", "-o", options, "hotswap-spec", folder, @kernel.fileno => @kernel.fileno)
    abort "not mounted" unless mounted
  end

  def run
    loop do
      ready, = IO.select([@kernel, $stdin])
      if ready.include?($stdin)
        return unless (line = $stdin.gets)
        obey(*line.split)
      end
      next unless ready.include?(@kernel)

      request = @kernel.sysread(LONGEST_WRITE + 4096)
      kind = KINDS[request.unpack1("x4L")]
      @held.include?(kind) ? @due << request : answer(kind, request)
    end
  rescue Errno::ENODEV
    nil # unmounted
  end

  private

  def obey(order, *kinds)
    if order == "refuse"
      @refused[kinds.first.to_sym] = Errno.const_get(kinds.last)
      return puts("refused")
    end

    @held = (order == "hold") ? kinds.map(&:to_sym) : []
    return puts("held") if order == "hold"

    puts "answered #{@due.size}"
    @due.shift.then { |request| answer(KINDS[request.unpack1("x4L")], request) } until @due.empty?
  ensure
    $stdout.flush
  end

  def answer(kind, request)
    unique, id, uid, gid = request.unpack("x8QQLL")
    return if SILENT.include?(kind)

    raise @refused[kind] if @refused[kind]

    @caller = [uid, gid]
    body = kind ? send(kind, @nodes[id], request.byteslice(40..)) : raise(Errno::ENOSYS)
    reply(unique, 0, body.to_s)
  rescue SystemCallError => error
    reply(unique, -error.errno, "")
  end

  def reply(unique, error, body)
    @kernel.syswrite([16 + body.bytesize, error, unique].pack("LlQ") + body)
  rescue Errno::ENOENT
    nil # who asked has gone
  end

  def init(_, _) = [*VERSION, 0, FLAGS, 16, 12, LONGEST_WRITE, 1].pack("LLLLSSLL") + ("\0" * 36)
  def destroy(*) = ""
  def opendir(*) = [0, 0, 0].pack("QLL")
  alias_method :open, :opendir
  def release(*) = ""
  %i[setlkw releasedir flush fsync fsyncdir].each { |kind| alias_method kind, :release }
  def statfs(*) = [1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096, 0].pack("QQQQQLLLL") + ("\0" * 24)
  def getattr(node, _) = [0, 0, 0].pack("QLL") + attributes(node)
  def lookup(folder, name) = entry(child(folder, name))

  def setattr(node, body)
    valid, size, mode, uid, gid = body.unpack("Lx4x8Qx8x24x12LLLL").values_at(0, 1, 2, 4, 5)
    node.mode = (node.mode & TYPE) | (mode & 0o7777) if valid[0] == 1
    node.uid = uid if valid[1] == 1
    node.gid = gid if valid[2] == 1
    node.data = node.data.byteslice(0, size).ljust(size, "\0").b if valid[3] == 1
    node.changed = Time.now
    getattr(node, body)
  end

  def create(folder, body)
    mode = body.unpack1("x4L")
    entry(add(folder, body.byteslice(16..), make(mode, *@caller))) + opendir
  end

  # Without a name until it is linked.
  def tmpfile(_, body) = entry(make(body.unpack1("x4L"), *@caller).tap { |node| node.links = 0 }) + opendir

  def mknod(folder, body) = entry(add(folder, body.byteslice(16..), make(body.unpack1("L"), *@caller)))
  def mkdir(folder, body) = entry(add(folder, body.byteslice(8..), make(FOLDER | body.unpack1("L"), *@caller)))

  def link(folder, body)
    node = @nodes.fetch(body.unpack1("Q"))
    node.links += 1
    entry(add(folder, body.byteslice(8..), node))
  end

  def unlink(folder, name)
    child(folder, name).links -= 1
    folder.children.delete(name.delete_suffix("\0"))
    ""
  end
  alias_method :rmdir, :unlink

  def rename(folder, body) = move(folder, body.unpack1("Q"), body.byteslice(8..))
  def rename2(folder, body) = move(folder, body.unpack1("Q"), body.byteslice(16..))

  def move(folder, target, names)
    from, to = names.split("\0")
    node = child(folder, from)
    target = @nodes.fetch(target)
    target.children[to].links -= 1 if target.children[to]
    folder.children.delete(from)
    target.children[to] = node
    ""
  end

  def read(node, body)
    offset, size = body.unpack("x8QL")
    node.data.byteslice(offset, size)
  end

  def write(node, body)
    offset, size = body.unpack("x8QL")
    node.data << ("\0" * (offset - node.data.bytesize)) if offset > node.data.bytesize
    node.data[offset, size] = body.byteslice(40, size)
    node.changed = Time.now
    [size, 0].pack("LL")
  end

  def readdir(folder, body)
    offset, size = body.unpack("x8QL")
    entries = folder.children.to_a.drop(offset).each_with_index.map do |(name, node), index|
      padding = "\0" * (-name.bytesize % 8)
      [node.id, offset + index + 1, name.bytesize, node.mode >> 12].pack("QQLL") + name.b + padding
    end
    entries.each_with_object("".b) { |bytes, all| (all.bytesize + bytes.bytesize <= size) ? all << bytes : (break all) }
  end

  def make(mode, uid, gid)
    id = @nodes.size + ROOT
    @nodes[id] = Node.new(id, mode, uid, gid, 1, "".b, {}, Time.now)
  end

  def add(folder, name, node)
    folder.children[name.delete_suffix("\0")] = node
  end

  def child(folder, name) = folder.children[name.delete_suffix("\0")] || raise(Errno::ENOENT)

  # Nothing may be remembered: every question is to reach us.
  def entry(node) = [node.id, 0, 0, 0, 0, 0].pack("QQQQLL") + attributes(node)

  def attributes(node)
    size = node.data.bytesize
    seconds = [node.changed.to_i] * 3
    [node.id, size, size.ceildiv(512), *seconds, *[node.changed.nsec] * 3, node.mode, node.links, node.uid, node.gid, 0, 4096, 0].pack("Q6L10")
  end
end

$stdout.sync = true
server = FuseServer.new(ARGV.fetch(0))
puts "mounted"
server.run
