# frozen_string_literal: true

RSpec.describe "the name of a database on the command line", lane: "default" do
  running_app do |app|
    %w[primary queue].each { |name| File.symlink(app.database_path(name), app.root.join("#{name}-link")) }
    File.symlink(app.root.join("storage"), app.root.join("storage-link"))
  end

  def pulled(name, **options)
    answer = app.hotswap("cp", name, "pulled.sqlite3", **options)
    expect(answer).to have_attributes(exit_code: 0, stdout: "", stderr: HotswapCommand::PULLED)
    TestDatabase.content(Pathname(options.fetch(:chdir, app.root)).join("pulled.sqlite3"))
  end

  def content(database) = TestDatabase.content(app.database_path(database))

  after { app.root.glob("{,app/}pulled.sqlite3*").each(&:delete) }

  it "can be its path: relative, absolute, with dots, or through links" do
    [
      "storage/production.sqlite3", "./storage/../storage/production.sqlite3", app.database_path,
      "primary-link", "storage-link/production.sqlite3"
    ].each { |path| expect(pulled(path)).to eq(content("primary")), path }
    expect(pulled("../storage/production.sqlite3", chdir: app.root.join("app"))).to eq content("primary")
  end

  it "can be its name in database.yml" do
    %w[primary queue cache errors].each { |name| expect(pulled(name)).to eq(content(name)), name }
  end

  it "can be `database` for the first one" do
    expect(pulled("database")).to eq content("primary")
  end

  it "works in every folder" do
    expect(pulled("queue", chdir: app.root.join("app"))).to eq content("queue")
  end

  it "works in a push" do
    {"storage-link/production.sqlite3" => "by-link", "database" => "by-database", "primary" => "by-name"}.each do |name, version|
      pushed = app.hotswap("cp", app.databases.release(version), name)

      expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq version
    end
  end

  it "means a file of that name in the current folder, if there is one" do
    file = app.root.join("queue")
    FileUtils.cp(app.databases.release("a-file"), file)

    pushed = app.hotswap("cp", "queue", "primary")

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "a-file"
    neither = untouched { app.hotswap("cp", app.databases.release("other"), "queue") }
    expect(neither).to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: neither path matches/)
    expect(TestDatabase.version(file)).to eq "a-file"
  ensure
    file.delete
  end

  {
    "two managed databases" => %w[storage/production.sqlite3 queue],
    "a managed database and itself" => %w[storage/production.sqlite3 storage/production.sqlite3],
    "a managed database and a link to it" => %w[primary-link storage/production.sqlite3]
  }.each do |what, (source, destination)|
    it "refuses to copy between #{what}" do
      both = untouched { untouched(database: app.database_path("queue")) { app.hotswap("cp", source, destination) } }

      expect(both).to have_attributes(exit_code: 2, stdout: "")
      expect(both.stderr).to start_with("ERROR: source and destination can't both be managed databases")
    end
  end

  it "is listed if neither side is a managed database" do
    good = app.databases.release("nowhere")
    neither = untouched { app.hotswap("cp", good, "storage/production.sqlite") }

    expect(neither).to have_attributes(exit_code: 2, stdout: "")
    databases = %w[primary queue cache errors].map { |name| app.database_path(name) }
    expect(neither.stderr).to start_with("ERROR: neither path matches a managed database (#{databases.join(", ")})\n")
      .and include("or by its name (primary, queue, cache, errors)")
    expect(app.root.join("storage/production.sqlite")).not_to exist
  end

  it "can be a path from the application's root, if the current folder has no such file" do
    Dir.mktmpdir("hs") do |folder|
      pulled = app.hotswap("cp", "storage/production.sqlite3", "copy.sqlite3", "--socket", app.socket_path, chdir: folder)
      expect(pulled).to have_attributes(exit_code: 0)
      expect(TestDatabase.content(File.join(folder, "copy.sqlite3"))).to eq TestDatabase.content(app.database_path)
      expect(app.hotswap("cp", "copy.sqlite3", "./storage/production.sqlite3", "--socket", app.socket_path, chdir: folder)).to have_attributes(exit_code: 0)

      # A target of the pull is the caller's, whatever it is called.
      FileUtils.mkpath(File.join(folder, "storage"))
      expect(app.hotswap("cp", "primary", "storage/production.sqlite3", "--socket", app.socket_path, chdir: folder)).to have_attributes(exit_code: 0)
      expect(File).to exist(File.join(folder, "storage/production.sqlite3"))
      both = app.hotswap("cp", "copy.sqlite3", "storage/production.sqlite3", "--socket", app.socket_path, chdir: folder)
      expect(both).to have_attributes(exit_code: 2, stderr: /\AERROR: neither path matches/)
    end
  end

  it "cannot be -" do
    neither = untouched { app.hotswap("cp", "-", "-", stdin_data: "anything") }

    expect(neither).to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: neither path matches/)
  end
end
