# frozen_string_literal: true

require "socket"

RSpec.describe "the exit status of a wrong path" do
  include Privileges

  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:folder) { app.root.join("files") }

  before { folder.mkpath }

  after { FileUtils.rm_rf(folder) }

  def status(src, dst, **options) = app.hotswap("cp", src, dst, timeout: 10, **options).exit_code

  # What stands at files/wrong, and the path on the command line.
  {
    "an empty word" => [2, "", ->(_) {}],
    "a pipe" => [2, "files/wrong", ->(path) { File.mkfifo(path) }],
    "a socket" => [2, "files/wrong", ->(path) { UNIXServer.new(path.to_s).close }],
    "a device" => [2, "/dev/full", ->(_) {}],
    "the journal of the database" => [2, "storage/app.sqlite3-journal", ->(_) {}],
    "a file in a directory that is not there" => [3, "files/missing/wrong", ->(_) {}],
    "a file below a file" => [3, "files/wrong/more", ->(path) { path.write("") }],
    "a link to itself" => [3, "files/wrong", ->(path) { File.symlink(path.basename, path) }]
  }.each do |what, (expected, word, make)|
    it "is #{expected} for #{what}, as SRC and as DST" do
      make.call(folder.join("wrong"))

      expect(untouched { [status(word, "database"), status("database", word)] }).to eq [expected, expected]
    end
  end

  it "is 3 where the user may not read the source or write the target" do
    folder.join("wrong").write("secret")
    folder.join("wrong").chmod(0o000)
    folder.chmod(0o555)
    user = {program: unprivileged + HotswapCommand::PROGRAM}

    expect(untouched { [status("files/wrong", "database", **user), status("database", "files/new", **user)] }).to eq [3, 3]
  ensure
    folder.chmod(0o755)
  end

  # A folder as DST gets a file, as with cp.
  it "is 2 for a directory as SRC, and for a push whose DST is a folder" do
    folder.join("link").make_symlink(".")

    expect(untouched { [status("files", "database"), status("files/link", "database"), status("files", "storage")] }).to eq [2, 2, 2]
  end

  it "is 2 for a directory as standard input, and for the database itself on either side" do
    live = app.database_path

    expect(untouched { [status("-", "database", in: folder.to_s), status(live, "database"), status("database", live)] }).to eq [2, 2, 2]
  end
end
