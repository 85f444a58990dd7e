# frozen_string_literal: true

# A pull can write to file systems on which SQLite could not run: FAT and CIFS store no modes, NFS may have no locks,
# and others cannot sync a folder, link a file or report their free space. See backup_disk.rs and target.rs.
RSpec.describe "a pull to a disk that lacks what a database needs", lane: "default" do
  before(:context) do
    skip "no file system can be mounted here by way of /dev/fuse" unless FuseDisk.available?
    @app = ItemsServer.start
  end
  after(:context) { @app&.tear_down }

  # The kernel does not ask again what a disk has once refused.
  before { @disk = FuseDisk.mount(folder.tap(&:mkpath)) }

  attr_reader :app, :disk

  let(:folder) { app.root.join("backups") }
  let(:backup) { folder.join("backup.sqlite3") }

  def pull(*options, **others) = app.hotswap("cp", "database", backup, *options, timeout: 30, **others)

  # Without any other file in the folder.
  def expect_a_backup(stderr: HotswapCommand::PULLED)
    expect(pull).to have_attributes(exit_code: 0, stdout: "", stderr: stderr)
    expect_the_content
    expect(Dir.children(folder)).to eq %w[backup.sqlite3]
  end

  # SQLite itself could not use it there.
  def expect_the_content
    copy = app.root.join("copy.sqlite3")
    FileUtils.cp(backup, copy)
    expect(TestDatabase.content(copy)).to eq TestDatabase.content(app.database_path)
  end

  {
    "stores no file modes" => {setattr: %i[EPERM EOPNOTSUPP]},
    "has no locks" => {setlkw: %i[ENOLCK ENOSYS EOPNOTSUPP EINVAL]},
    "cannot sync a folder" => {fsyncdir: %i[EINVAL EOPNOTSUPP EPERM]},
    "cannot sync a single file" => {fsync: %i[EINVAL EOPNOTSUPP]},
    "cannot create a file without a name" => {tmpfile: %i[EOPNOTSUPP EINVAL EISDIR ENOSYS EPERM]},
    "cannot link a file without a name" => {link: %i[EPERM EOPNOTSUPP ENOENT ENOSYS]},
    "does not report its free space" => {statfs: %i[ENOSYS EPERM]}
  }.each do |disability, refusals|
    refusals.each do |kind, errors|
      errors.each do |error|
        it "succeeds if the disk #{disability} (#{error})" do
          disk.refuse(kind, error)

          2.times { expect_a_backup }
        end
      end
    end
  end

  it "succeeds if the disk does none of these" do
    %i[setattr setlkw fsyncdir tmpfile statfs].zip(%i[EPERM ENOLCK EINVAL EOPNOTSUPP ENOSYS]) { |kind, error| disk.refuse(kind, error) }

    2.times { expect_a_backup }
  end

  it "warns if the disk did not set the mode" do
    expect(pull).to have_attributes(exit_code: 0)
    backup.chmod(0o640)
    disk.refuse(:setattr, :EPERM)

    expect_a_backup(stderr: /\AWARNING: #{backup} has mode 600 instead of 640, because its file system did not set the mode\. .*\nidentity: \h{32}\nOK\n\z/)
  end

  it "suggests standard output if the disk cannot rename, and leaves no files" do
    %i[rename rename2].each { |kind| disk.refuse(kind, :ENOSYS) }

    expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: cannot put the snapshot in place at #{backup}, because its file system cannot rename files .*- > #{backup}/)
    expect(Dir.children(folder)).to be_empty
    File.open(backup, "w") do |file|
      expect(app.hotswap("cp", "database", "-", out: file)).to have_attributes(exit_code: 0)
    end
    expect_the_content
  end

  # A network file system reports refused writes only when the file is synced.
  %i[EACCES EPERM].each do |error|
    it "fails if the disk refuses to sync the file (#{error})" do
      disk.refuse(:fsync, error)

      expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: cannot (sync|write) /)
      expect(Dir.children(folder)).to be_empty
    end
  end

  {fsyncdir: "the folder", fsync: "the file", setattr: "the mode"}.each do |kind, what|
    it "fails if the disk fails at #{what}" do
      pull
      backup.chmod(0o640)
      disk.refuse(kind, :EIO)

      expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: .*Input\/output error/)
    end
  end
end
