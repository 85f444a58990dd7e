# frozen_string_literal: true

RSpec.describe "a damaged live database", lane: "default" do
  # On a slow disk, a write in place may take longer than the usual maximum.
  before(:context) { @app = ItemsServer.start(settings: "config.max_pause = 5") }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:good) { app.file("files/good.sqlite3", ItemsServer::SCHEMA, %w[good]) }

  # As a disk or a careless program leaves it: the same file with other bytes, below the feet of the application.
  def damage(at, bytes) = File.open(app.database_path, "r+b") { |file| file.pwrite(bytes, at) }

  def push(*flags) = app.hotswap("cp", good, "database", *flags)

  # Only a rename can replace it. Elsewhere, it has to be removed.
  def replace
    unless Project.linux?
      app.stop
      FileUtils.rm_f(Dir["#{app.database_path}{,-wal,-shm}"])
      app.boot
    end
    expect(push("--skip-schema-check")).to have_attributes(exit_code: 0, stdout: "OK\n")
  end

  after do
    replace
    expect(app.version).to eq "good"
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.stray_files).to eq []
  end

  {
    "its schema" => [100, "\xff" * 8],
    "its header" => [0, "no more!" * 2],
    "all of its first page" => [0, "\0" * 4096]
  }.each do |what, (at, bytes)|
    it "in #{what} cannot be compared, but can be replaced with --skip-schema-check" do
      damage(at, bytes)
      refused = push

      expect(refused).to have_attributes(exit_code: 3, stdout: "")
      expect(refused.stderr).to start_with("ERROR: cannot read the schema of #{app.database_path}").and include("--skip-schema-check")
      expect(File.binread(app.database_path, bytes.bytesize, at)).to eq bytes.b
    end
  end

  it "cannot be written in place, and the message says what to do" do
    damage(0, "no more!" * 2)

    cure = Project.linux? ? "leave out --in-place=always" : "stop the application, remove the file together with its -wal and -shm, start the application and push again"
    expect(push("--in-place=always", "--skip-schema-check")).to have_attributes(exit_code: 3, stdout: "",
      stderr: /^ERROR: the database #{app.database_path} .* it is damaged: file is not a database\. To let hotswap replace the file instead, #{cure}$/)
  end

  it "cannot be pulled" do
    damage(0, "no more!" * 2)
    pulled = app.hotswap("cp", "database", "backup.sqlite3")

    expect(pulled).to have_attributes(exit_code: 5, stdout: "", stderr: /\AERROR: .*not a database/)
    expect(app.root.join("backup.sqlite3")).not_to exist
    expect(app.hotswap("cp", "database", "-")).to have_attributes(exit_code: 5, stdout: "", stderr: pulled.stderr)
  end

  it "with a length of zero can be replaced without an option" do
    File.truncate(app.database_path, 0)
    expect(push).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "good"
  end
end
