# frozen_string_literal: true

# A backup goes to file systems on which no database could live: FAT and CIFS keep no modes, NFS may have no locks, and others
# sync no folder, link no file, or do not say how much room they have. Protected is what backup_disk.rs and target.rs do.
RSpec.describe "a pull to a disk that cannot do all that a database needs", lane: "default" do
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

  # With nothing beside it.
  def expect_a_backup(stderr: "")
    expect(pull).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: stderr)
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
    "keeps no modes" => {setattr: %i[EPERM EOPNOTSUPP]},
    "has no locks" => {setlkw: %i[ENOLCK ENOSYS EOPNOTSUPP EINVAL]},
    "syncs no folder" => {fsyncdir: %i[EINVAL EOPNOTSUPP EPERM]},
    "syncs no single file" => {fsync: %i[EINVAL EOPNOTSUPP]},
    "makes no file without a name" => {tmpfile: %i[EOPNOTSUPP EINVAL EISDIR ENOSYS EPERM]},
    "makes a file without a name, and no link to it" => {link: %i[EPERM EOPNOTSUPP ENOENT ENOSYS]},
    "does not say how much room it has" => {statfs: %i[ENOSYS EPERM]}
  }.each do |disability, refusals|
    refusals.each do |kind, errors|
      errors.each do |error|
        it "#{disability} (#{error})" do
          disk.refuse(kind, error)

          2.times { expect_a_backup }
        end
      end
    end
  end

  it "does none of all that" do
    %i[setattr setlkw fsyncdir tmpfile statfs].zip(%i[EPERM ENOLCK EINVAL EOPNOTSUPP ENOSYS]) { |kind, error| disk.refuse(kind, error) }

    2.times { expect_a_backup }
  end

  it "warns of a mode that the disk did not set" do
    expect(pull).to have_attributes(exit_code: 0)
    backup.chmod(0o640)
    disk.refuse(:setattr, :EPERM)

    expect_a_backup(stderr: /\AWARNING: #{backup} has mode 600 instead of 640, because its file system did not set the mode\. .*\n\z/)
  end

  it "names standard output where the disk renames no file, and leaves nothing" do
    %i[rename rename2].each { |kind| disk.refuse(kind, :ENOSYS) }

    expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: cannot put the snapshot in place at #{backup}, because its file system cannot rename files .*- > #{backup}/)
    expect(Dir.children(folder)).to be_empty
    File.open(backup, "w") do |file|
      expect(app.hotswap("cp", "database", "-", out: file)).to have_attributes(exit_code: 0)
    end
    expect_the_content
  end

  # A network file system tells with the sync that its server refused what was written before.
  %i[EACCES EPERM].each do |error|
    it "fails where a sync of the file is refused (#{error})" do
      disk.refuse(:fsync, error)

      expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: cannot (sync|write) /)
      expect(Dir.children(folder)).to be_empty
    end
  end

  {fsyncdir: "the folder", fsync: "the file", setattr: "the mode"}.each do |kind, what|
    it "still fails where the disk itself fails at #{what}" do
      pull
      backup.chmod(0o640)
      disk.refuse(kind, :EIO)

      expect(pull).to have_attributes(exit_code: 5, stderr: /ERROR: .*Input\/output error/)
    end
  end
end
