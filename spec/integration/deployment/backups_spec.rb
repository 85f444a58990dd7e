# frozen_string_literal: true

require "open3"
require "rbconfig"
require_relative "../fleet/support/app_program"

RSpec.describe "a backup as docs/backups.md shows it", lane: "default" do
  document = Project::ROOT.join("docs/backups.md").read
  # The code block that begins with the name of its file, written for this application.
  write = lambda do |server, file|
    code = document[/^    # #{Regexp.escape(file)}\n((?: {4}.*)?\n)*/].gsub(/^ {4}/, "")
    server.write(file, code.gsub("/backup/", "#{server.root}/backup/"))
  end

  running_app(initializer: <<~RUBY) do |server|
    Rails.application.routes.append do
      post "/nightly", to: ->(env) do
        queue = NightlyBackupJob.queue_adapter
        NightlyBackupJob.queue_adapter = :async if env["QUERY_STRING"] == "async"
        NightlyBackupJob.perform_later
        [202, {}, []]
      ensure
        NightlyBackupJob.queue_adapter = queue
      end
    end
  RUBY
    server.write("bin/hotswap", "#!/bin/sh\nexec #{HotswapCommand::PROGRAM.join(" ")} \"$@\"\n")
    server.root.join("backup").mkpath
    %w[lib/tasks/backup.rake app/jobs/nightly_backup_job.rb].each { |file| write.call(server, file) }
    # The shell handles a failure. Here a program records it instead of sending a mail.
    server.write("mail", "#!/bin/sh\ncat > mail.txt\n").then { server.root.join("mail").chmod(0o755) }
  end

  before { FileUtils.rm_f([*app.root.glob("backup/*"), app.root.join("mail.txt")]) }

  def backups = app.root.glob("backup/*").to_h { |file| [file.basename.to_s.sub(/\A\d\d/, ""), file] }

  def expect_backup(file, database = "primary")
    expect(TestDatabase.integrity(file)).to eq "ok"
    expect(TestDatabase.content(file)).to eq TestDatabase.content(app.database_path(database))
  end

  describe "with the cron line" do
    command = document[/^ {4}(?:\S+ ){5}app (?<command>.*)$/, "command"].gsub("\\%", "%")

    # As cron does it: with next to no environment.
    def run(command)
      line = command.gsub("/srv/app", app.root.to_s).gsub("/backup/", "#{app.root}/backup/")
      Open3.capture2e({"PATH" => "#{app.root}:/usr/bin:/bin", "HOME" => "/"}, "/bin/sh", "-c", line, chdir: "/", unsetenv_others: true)
    end

    it "makes the day's backup, and prints nothing" do
      expect(run(command)).to match ["", be_success]
      expect_backup(app.root.join("backup/#{Time.now.strftime("%d")}.sqlite3"))
      expect(app.root.join("mail.txt")).not_to exist
    end

    it "sends a mail if the backup fails" do
      said, = run(command.sub("storage/production", "storage/no_such"))

      expect(said).to start_with "ERROR: neither path matches a managed database"
      expect(app.root.join("mail.txt").read).to eq "no backup of the app\n"
    end
  end

  it "with the Rake task has every database" do
    said, status = Open3.capture2e(DemoApp.environment, *Project::RUBY, "bin/rails", "backup", chdir: app.root.to_s, unsetenv_others: true)

    expect(status).to be_success, said
    expect(said).to match(/^primary: \d+ bytes in \d\.\d s\n/)
    names = %w[primary queue cache errors]
    expect(backups.keys).to match_array(names.map { |name| "-#{name}.sqlite3" })
    names.each { |name| expect_backup(backups["-#{name}.sqlite3"], name) }
  end

  it "with the Active Job can be made by the web server itself" do
    app.post("/nightly?async")

    eventually { backups.key?(".sqlite3") }
    expect_backup(backups.fetch(".sqlite3"))
    eventually { expect(app.log).to match(/backed up storage\/production\.sqlite3: \d+ bytes/) }
  end

  it "with the Active Job can be made by a job process" do
    app.post("/nightly")
    AppProgram.new(app, *Project::RUBY, "bin/jobs")

    eventually(30) { backups.key?(".sqlite3") }
    expect_backup(backups.fetch(".sqlite3"))
  end
end
