# frozen_string_literal: true

# What ONCE does: it runs /hooks/pre-backup in the running container, copies the files of /storage, and on another day
# runs /hooks/post-restore in a container of the same image, before the application boots. Only the exit status
# of the hooks counts. The folder is that of the image.
RSpec.describe "bin/rails generate hotswap:once", lane: "default" do
  before(:context) do
    @app = RailsApp.new
    @said = app.rails("generate", "hotswap:once")
    app.write("config/initializers/hotswap.rb", <<~RUBY)
      Rails.application.config.hotswap.database_paths = %w[production production-queue].map { |name| "storage/\#{name}.sqlite3" }
    RUBY
    @application = SQLite3::Database.new(live("production").to_s)
    @application.execute("PRAGMA journal_mode = WAL")
    @taken = hook("pre-backup")
    @names = snapshots.children.map { |file| file.basename.to_s }
    @content = {"primary" => "production", "queue" => "production-queue"}.to_h { |name, file| [file, TestDatabase.content(snapshots.join("#{name}.sqlite3"))] }
    @application.execute("CREATE TABLE after_the_snapshot (name)")
    FileUtils.cp_r(storage, backup, preserve: true)
    @application.close
  end

  after(:context) { @app&.remove }

  before do
    # ONCE creates a new volume.
    FileUtils.rm_rf(storage)
    FileUtils.cp_r(backup, storage, preserve: true)
  end

  attr_reader :app

  def hook(name)
    said, status = Open3.capture2e(DemoApp.environment, app.root.join("hooks", name).to_s, chdir: app.root.to_s, unsetenv_others: true)
    [status.exitstatus, said]
  end

  def backup = app.root.join("backup")

  def storage = app.root.join("storage")

  def snapshots = storage.join("once_snapshots")

  def live(name) = storage.join("#{name}.sqlite3")

  def age(*files, by:) = files.each { |file| File.utime(file.mtime - by, file.mtime - by, file) }

  it "creates the hooks, and pre-backup takes a snapshot of each database that hotswap manages" do
    expect(@said).to match(%r{create +hooks/pre-backup$}).and match(%r{create +hooks/post-restore$}).and include("COPY hooks /hooks")
    expect(@taken).to eq [0, ""]
    expect(@names).to contain_exactly("primary.sqlite3", "queue.sqlite3")
  end

  it "needs templates that are part of the gem" do
    files = Dir.chdir(Project::ROOT) { Gem::Specification.load("hotswap.gemspec").files }

    expect(Project::ROOT.glob("lib/generators/**/templates/*").map { |file| file.relative_path_from(Project::ROOT).to_s } - files).to eq []
  end

  # The files of a running application are torn; those of a stopped one have newer rows.
  it "puts the snapshots into place, also when post-restore has failed halfway, and keeps files that were written later" do
    age(*snapshots.children, by: 3000)
    age(live("production-queue"), by: 7200)
    queue = snapshots.join("queue.sqlite3")
    taken, whole = queue.mtime, queue.binread
    queue.write("no database")
    File.utime(taken, taken, queue)

    status, said = hook("post-restore")
    expect([status, said]).to match [1, /\Astorage\/production\.sqlite3 was written after the snapshot .*^ERROR: .*queue\.sqlite3/m]
    expect(TestDatabase.content(live("production"))).to eq @content.fetch("production")
    kept = storage.glob("*.before-restore-*Z")
    expect(kept.map { |file| file.basename.to_s }).to match [/\Aproduction\.sqlite3\.before-restore-/]
    expect(TestDatabase.read(kept.first) { |db| db.execute("SELECT name FROM sqlite_schema") }).to include ["after_the_snapshot"]

    queue.binwrite(whole)
    age(queue, by: 9000)
    expect(hook("post-restore")).to eq [0, ""]
    @content.each { |name, content| expect(TestDatabase.content(live(name))).to eq content }
    expect(snapshots).not_to exist
  end

  it "changes nothing if a database was written more than an hour after the snapshots" do
    age(*snapshots.children, by: 7200)
    untouched_files = storage.glob("**/*").to_h { |file| [file, file.stat.ino] }

    expect(hook("post-restore")).to match [1, /\AERROR: storage\/production\.sqlite3 was written more than an hour after the snapshots in storage\/once_snapshots/]
    expect(storage.glob("**/*").to_h { |file| [file, file.stat.ino] }).to eq untouched_files
  end
end
