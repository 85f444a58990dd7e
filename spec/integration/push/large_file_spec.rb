# frozen_string_literal: true

# More than one step of 8 MB, in which a file is copied and written back.
RSpec.describe "a push of a large file", lane: "default" do
  # Where it is written in place, requests may have to wait for longer than usual.
  running_app(initializer: "Rails.application.config.hotswap.max_pause = 10")

  let(:live) { "storage/production.sqlite3" }
  let(:large) { app.databases.of_size(40, version: "large") }

  def push(file, *flags) = app.hotswap("cp", file, live, *flags)

  def push_as_stdin(file) = app.hotswap("cp", "-", live, in: file)

  def push_through_pipe(file) = app.hotswap("cp", "-", live, program: ["sh", "-c", 'cat "$0" | "$@"', file, *HotswapCommand::PROGRAM])

  # The first leaf of a table from there on: damage of other pages may be no more than another value.
  def leaf(file, from) = (from..).find { |page| File.binread(file, 1, page * 4096) == "\x0d" }

  def damage(file, page) = File.open(file, "r+b") { |io| io.pwrite("\0" * 4096, page * 4096) }

  it "with a damaged page anywhere is refused" do
    damaged = "#{large}.damaged"
    pages = [20, 5_000, 9_900].map { |from| leaf(large, from) }
    pages.each do |page|
      FileUtils.cp(large, damaged)
      damage(damaged, page)

      untouched do
        expect(push(damaged)).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed.*#{damaged} is damaged/m)
        [push_as_stdin(damaged), push_through_pipe(damaged)].each do |refused|
          expect(refused).to have_attributes(exit_code: 3, stderr: /\AERROR: integrity check failed.*standard input is damaged/m)
        end
      end
    end
    expect(push(damaged, "--skip-integrity-check")).to have_attributes(exit_code: 0)
    expect(File.binread(app.database_path, 4096, pages.last * 4096)).to eq "\0" * 4096
  ensure
    push(large)
  end

  # source.rs, `has_changed`.
  it "is refused if another program writes to the file meanwhile" do
    zeros = "\0" * 4096
    content = File.binread(large, 4096, 4096 * 6_000)
    writing = Thread.new { File.open(large, "r+b") { |io| loop { [zeros, content].each { |page| io.pwrite(page, 4096 * 6_000) } } } }

    untouched { expect(push(large)).to have_attributes(exit_code: 3, stderr: /\AERROR: another program changed the source while it was being copied/) }
  ensure
    writing.kill.join
  end

  it "is refused as truncated if its end is missing" do
    File.truncate(large, File.size(large) - 4096)

    untouched { expect(push_through_pipe(large)).to have_attributes(exit_code: 3, stderr: /\AERROR: the file is truncated/) }
  end

  it "becomes the database in every journal mode, and leaves no files" do
    before = Untouched.listing(app.root.join("storage"))
    %w[wal delete].each do |mode|
      SQLite3::Database.new(large) { |db| db.execute("PRAGMA journal_mode = #{mode}") }
      expect(File.binread(large, 2, 18).bytes).to eq((mode == "wal") ? [2, 2] : [1, 1])
      %i[push push_as_stdin push_through_pipe].map { |name| method(name) }.each { |way| expect(way.call(large)).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED) }

      expect(app.version).to eq "large"
      expect(Untouched.listing(app.root.join("storage"))).to eq before
    end
  end
end
