# frozen_string_literal: true

# What ONCE does: it runs /hooks/pre-backup in the running container, copies the files of /storage, and on another day
# runs /hooks/post-restore in a container of the same image, before the application boots there. Only the exit status
# of the hooks counts. The folder is that of the image.
RSpec.describe "bin/rails generate hotswap:once", lane: "default" do
  before(:context) do
    @app = AppServer.start do |server|
      said, status = Open3.capture2e(DemoApp.environment("RAILS_ENV" => "development"), "bundle", "exec", "ruby", "bin/rails", "generate", "hotswap:once",
        chdir: server.root.to_s, unsetenv_others: true)
      raise said unless status.success?

      @said = said
    end
    # For speed.
    @written = %w[pre-backup post-restore].map do |name|
      file = app.root.join("hooks", name)
      file.read.tap { |text| file.write(text.sub("primary queue cache errors", "primary queue")) }
    end
    @backup = app.root.join("backup")
  end

  after(:context) { @app&.tear_down }

  attr_reader :app, :backup

  def hook(name)
    said, status = Open3.capture2e(DemoApp.environment, app.root.join("hooks", name).to_s, chdir: app.root.to_s, unsetenv_others: true)
    [status.exitstatus, said]
  end

  def storage = app.root.join("storage")

  def snapshots = storage.join("once_snapshots")

  # ONCE creates a new volume.
  def restore_files
    FileUtils.rm_rf(storage)
    FileUtils.cp_r(backup, storage, preserve: true)
  end

  it "needs templates that are part of the gem" do
    files = Dir.chdir(Project::ROOT) { Gem::Specification.load("hotswap.gemspec").files }

    expect(Project::ROOT.glob("lib/generators/**/templates/*").map { |file| file.relative_path_from(Project::ROOT).to_s } - files).to eq []
  end

  it "makes hooks that bring the snapshots of a backup back, although the copied files are torn" do
    expect(@said).to match(%r{create +hooks/pre-backup$}).and match(%r{create +hooks/post-restore$}).and include("COPY hooks /hooks")
    expect(@written).to all(include(%(databases="primary queue cache errors"\n)))
    expect(hook("pre-backup")).to eq [0, ""]
    expect(snapshots.children.map { |file| file.basename.to_s }).to contain_exactly("primary.sqlite3", "queue.sqlite3")

    expect(app.post("/items", token: "after the snapshot").status).to eq 201
    content = %w[primary queue].to_h { |name| [name, TestDatabase.content(snapshots.join("#{name}.sqlite3"))] }
    FileUtils.cp_r(storage, backup, preserve: true)
    File.open(backup.join("production.sqlite3"), "r+b") { |file| file.pwrite("\xff" * 4096, 0) }
    app.stop
    # No server answers, as while the application boots.
    status, said = hook("pre-backup")
    expect(status).not_to eq 0
    expect(said).to include("add --offline")
    expect(snapshots).not_to exist
    # ONCE has paused the container, and the files are whole.
    expect(hook("post-restore")).to eq [0, ""]

    restore_files
    status, said = hook("post-restore")
    expect([status, said]).to eq [0, ""]
    {"primary" => "production.sqlite3", "queue" => "production-queue.sqlite3"}.each do |name, file|
      expect(TestDatabase.content(storage.join(file))).to eq content.fetch(name)
    end
    expect(snapshots).not_to exist

    restore_files
    later = Time.now + 7200
    File.utime(later, later, storage.join("production-queue.sqlite3"))
    untouched_files = storage.glob("**/*").to_h { |file| [file, file.stat.ino] }
    status, said = hook("post-restore")
    expect([status, said]).to match [1, /\AThe snapshots in storage\/once_snapshots are older than the databases/]
    expect(storage.glob("**/*").to_h { |file| [file, file.stat.ino] }).to eq untouched_files
  end
end
