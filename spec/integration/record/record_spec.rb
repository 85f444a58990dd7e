# frozen_string_literal: true

RSpec.describe "the record of a database", lane: "default" do
  running_app(ItemsServer)

  let(:live) { app.database_path }
  let(:record) { "#{live}.hotswap.log" }
  let(:new) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new newer]) }

  def entries = File.exist?(record) ? File.readlines(record).map { |line| JSON.parse(line) } : []

  # What one command adds to it.
  def added
    before = entries
    yield
    entries.drop(before.size)
  end

  it "has an entry for a push, with its source, its way, its rows and its times" do
    entry, *others = added { expect(app.hotswap("cp", new, "database", "--label=v42")).to have_attributes(exit_code: 0) }
    expect(others).to be_empty
    expect(entry).to include("event" => "push", "command" => "push", "database" => "storage/app.sqlite3", "from" => new, "label" => "v42", "bytes" => File.size(new),
      "way" => HotswapCommand::BY, "rows" => {"items" => 2}, "held_ms" => (0.0..2_000.0), "took_ms" => (1.0..60_000.0), "who" => /\Auid \d+ in #{HotswapCommand.named('\d+', ".*cp.*")}\z/)
    expect(Time.iso8601(entry.fetch("time"))).to be_within(60).of(Time.now)
    expect(entry.keys).not_to include("error", "exit_status", "to")
  end

  it "numbers its entries" do
    numbers = Array.new(2) { added { app.hotswap("cp", new, "database") }.last.fetch("sequence") }
    expect(numbers.last).to eq numbers.first + 1
  end

  it "has an entry for a push in place, a pull, and a refusal" do
    in_place = added { app.hotswap("cp", new, "database", "--in-place=always") }
    expect(in_place).to match [include("event" => "push", "way" => "in_place", "held_ms" => Float)]
    pulled = added { app.hotswap("cp", "database", "pulled.sqlite3") }
    expect(pulled).to match [include("event" => "pull", "to" => "pulled.sqlite3", "bytes" => Integer)]
    other = app.file("files/other.sqlite3", "CREATE TABLE others (id INTEGER)")
    refused = added { app.hotswap("cp", other, "database") }
    expect(refused).to match [include("event" => "refused", "command" => "push", "from" => other, "exit_status" => 3, "error" => /schema mismatch/)]
  end

  it "has an entry for a push that the client gave up" do
    gone = added do
      reader, writer = IO.pipe
      command = app.start_hotswap("cp", "-", "database", in: reader)
      eventually { expect(app.log_tail(3)).to include "push started: - " }
      command.kill
      command.wait
      writer.close
      eventually { expect(entries.last).to include("from" => "-") }
    end
    expect(gone).to match [include("event" => "failed", "exit_status" => 5, "error" => /client|connection|sender/)]
  end

  it "belongs to the database: no command copies it, and a push leaves it in place" do
    app.hotswap("cp", new, "database")
    expect(app.hotswap("cp", new, record)).to have_attributes(exit_code: 2, stderr: /storage\/app\.sqlite3/)
    before = File.stat(record).ino
    app.hotswap("cp", new, "database")
    expect(File.stat(record).ino).to eq before
  end

  it "is left out when it cannot be written: a push works, and the log says why" do
    FileUtils.rm_f(record)
    FileUtils.mkdir(record)
    expect(app.hotswap("cp", new, "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
    eventually { expect(app.log_tail).to match(/cannot write the record #{Regexp.escape(record)}: .*directory/i) }
  ensure
    FileUtils.rmdir(record)
  end
end

RSpec.describe "the record on a full disk", lane: "default" do
  before(:context) do
    skip "no file system can be mounted here (that takes root)" unless SmallDisk.available?
    @app = ItemsServer.start
    # Another disk than that of the database, which a push needs for itself.
    @disk = SmallDisk.new(@app.root.join("full").tap(&:mkpath), 1).tap(&:mount)
    FileUtils.touch([place, record])
    system("mount", "--bind", place, record) or raise "cannot mount #{place}"
  end

  after(:context) do
    next unless @disk

    system("umount", "--lazy", record)
    @disk.unmount
    @app.tear_down
  end

  def place = @app.root.join("full/record").to_s

  def record = "#{@app.database_path}.hotswap.log"

  def push = @app.hotswap("cp", @app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database")

  it "fails no push, keeps what it has, and goes on when there is room" do
    expect(push).to have_attributes(exit_code: 0)
    filler = @app.root.join("full/filler")
    IO.copy_stream("/dev/zero", filler, 2 * 1024 * 1024) rescue Errno::ENOSPC # rubocop:disable Style/RescueModifier
    # Some entries fit into the last block of the file.
    results = Array.new(15) { push }

    expect(results).to all have_attributes(exit_code: 0, stdout: "OK\n")
    eventually { expect(@app.log_tail).to match(/cannot write the record .*No space left on device/) }
    filler.delete
    kept = File.readlines(record)
    expect(push).to have_attributes(exit_code: 0)
    expect(File.readlines(record)[..-2]).to eq kept
    expect(File.readlines(record).map { |line| JSON.parse(line).fetch("event") }.uniq).to eq %w[push]
  end
end
