# frozen_string_literal: true

# SQLite plays back a rollback journal that lies next to a file. One that belongs to a transaction over several databases
# names its super-journal, and SQLite deletes the file of that name afterwards. Such a journal has no other content here.
RSpec.describe "a push of a file with a hostile journal", lane: "default" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:magic) { "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7".b }
  let(:live) { "storage/app.sqlite3" }
  let(:source) { app.file("new.sqlite3", ItemsServer::SCHEMA, %w[new]) }
  let(:secret) { app.root.join("secret.key").tap { |path| path.write("secret") } }

  after { FileUtils.rm_f([source, "#{source}-journal", "#{source}-wal", secret.to_s]) }

  # pager.c: a header of one sector, for a database of so many pages.
  def header(file, sector: 512)
    [magic, 0, 1, File.size(file) / 4096, sector, 4096].pack("a8N5").ljust(sector, "\0")
  end

  # pager.c, writeSuperJournal: a page number that no page has, the name, its length, its sum, the magic number.
  def naming(name, length: name.bytesize, sum: name.bytes.sum)
    [0x40000000 / 4096 + 1].pack("N") + name.b + [length, sum].pack("N2") + magic
  end

  def push_with(journal, **options)
    File.binwrite("#{source}-journal", journal)
    app.hotswap("cp", source, live, "--skip-schema-check", **options)
  end

  def expect_to_be_refused(journal)
    untouched_items do
      expect(push_with(journal)).to have_attributes(exit_code: 3, stderr: /\AERROR: the journal next to #{source} belongs to .*several databases/)
    end
    expect(secret.read).to eq "secret"
  end

  {
    "as SQLite writes it" => -> { header(source) + naming(secret.to_s) },
    "after a second header" => -> { header(source) + header(source) + naming(secret.to_s) },
    "after a header of a large sector" => -> { header(source, sector: 65_536) + naming(secret.to_s) },
    "after garbage" => -> { header(source) + "x" * 5_000 + naming(secret.to_s) },
    "followed by a zero, which SQLite does not read" => -> { header(source) + naming("#{secret}\0") },
    "without a header" => -> { "\1#{naming(secret.to_s)}" },
    "with a wrong checksum" => -> { header(source) + naming(secret.to_s, sum: 1) },
    "longer than the journal" => -> { header(source) + naming(secret.to_s, length: 100_000) },
    "of length zero" => -> { header(source) + naming("") }
  }.each do |what, journal|
    it "that names a super-journal, #{what}, is refused, and the named file stays" do
      expect_to_be_refused(instance_exec(&journal))
    end
  end

  it "that names the live database is refused, and the database stays" do
    expect_to_be_refused(header(source) + naming(app.database_path))
  end

  it "that names a super-journal is refused, even with a WAL" do
    File.binwrite("#{source}-wal", "x" * 40)
    expect_to_be_refused(header(source) + naming(secret.to_s))
  end

  it "that names a super-journal is refused, even if there is no live database yet" do
    aside = "#{app.database_path}.aside"
    app.get("/")
    File.rename(app.database_path, aside)
    refused = push_with(header(source) + naming(secret.to_s))
    expect(File.exist?(app.database_path)).to be false
    expect(refused).to have_attributes(exit_code: 3)
    expect(secret.read).to eq "secret"
  ensure
    File.rename(aside, app.database_path)
  end

  private

  def untouched_items
    before = [app.version, File.stat(app.database_path).ino]
    answer = yield
    expect([app.version, File.stat(app.database_path).ino]).to eq before
    answer
  end
end
