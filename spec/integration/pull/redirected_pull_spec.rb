# frozen_string_literal: true

# `hotswap cp DATABASE - > FILE`: the worker writes into an empty file itself, the client into any other.
RSpec.describe "a pull to a redirected file", lane: "default" do
  before(:context) { @app = ItemsServer.start { |server| server.file("storage/app.sqlite3", ItemsServer::SCHEMA, ["x" * 300_000], journal_mode: "wal") } }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:file) { app.root.join("redirected").tap(&:mkpath).join("backup.sqlite3") }
  let(:pulled) { app.root.join("pulled.sqlite3").tap { |path| expect(app.hotswap("cp", "database", path)).to have_attributes(exit_code: 0) } }

  after { FileUtils.rm_rf([file.dirname, pulled]) }

  def pull(out) = app.hotswap("cp", "database", "-", out: out)

  def shell(line) = app.hotswap(program: ["sh", "-c", line, file.to_s, *HotswapCommand::PROGRAM])

  it "writes the same bytes as a pull to a path, and keeps the file's mode" do
    file.write("")
    file.chmod(0o640)

    expect(pull(file.to_s)).to have_attributes(exit_code: 0, stderr: HotswapCommand::STREAMED)
    expect(file.binread == pulled.binread).to be true
    expect(file.stat.mode & 0o777).to eq 0o640
    expect(TestDatabase.integrity(file)).to eq "ok"
  end

  it "lets the shell append afterwards" do
    expect(shell('{ "$@" cp database - && echo behind; } > "$0"')).to have_attributes(exit_code: 0)
    expect(file.binread == "#{pulled.binread}behind\n").to be true
  end

  {
    'printf before > "$0"; "$@" cp database - >> "$0"' => "what is to be appended to",
    '{ printf before; "$@" cp database -; } > "$0"' => "what the shell has written to",
    'printf before > "$0"; { printf before; "$@" cp database -; } 1<> "$0"' => "what is overwritten"
  }.each do |line, what|
    it "writes at the shell's position in #{what}" do
      expect(shell(line)).to have_attributes(exit_code: 0, stderr: HotswapCommand::STREAMED)
      expect(file.binread == "before#{pulled.binread}").to be true
    end
  end

  it "fails if the file cannot grow, and says so" do
    SmallDisk.available? or skip "this user may mount no file system"
    disk = SmallDisk.new(file.dirname, 1)
    disk.mount
    full = File.binwrite(file.dirname.join("full"), "x" * 900_000)

    expect(full).to eq 900_000
    expect(pull(file.to_s)).to have_attributes(exit_code: 3, stderr: /\AERROR: the snapshot needs 1 MB .* are free/)
    expect(app.version).to start_with "x"
  ensure
    disk&.unmount
  end

  it "is refused if the file belongs to the database" do
    journal = "#{app.database_path}-journal"
    refused = pull(journal)

    expect(refused).to have_attributes(exit_code: 2, stderr: /\AERROR: standard output is a file of the database .*Redirect it to another file/)
    expect(app.version).to start_with "x"
  ensure
    FileUtils.rm_f(journal)
  end
end
