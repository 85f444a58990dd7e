# frozen_string_literal: true

require "open3"
require "rbconfig"

RSpec.describe "the cron line in docs/backups.md", lane: "default" do
  schedule = /^ {4}(?:\S+ ){5}app (?<command>.*)$/
  command = Project::ROOT.join("docs/backups.md").read[schedule, "command"].gsub("\\%", "%")

  running_app do |server|
    server.write("bin/hotswap", "#!/bin/sh\nexec #{HotswapCommand::PROGRAM.join(" ")} \"$@\"\n")
    server.root.join("backup").mkpath
    # The shell handles a failure. Here a program records it instead of sending a mail.
    server.write("mail", "#!/bin/sh\ncat > mail.txt\n").then { server.root.join("mail").chmod(0o755) }
  end

  before { FileUtils.rm_f(app.root.join("mail.txt")) }

  # As cron does it: with next to no environment.
  def run(command)
    line = command.gsub("/srv/app", app.root.to_s).gsub("/backup/", "#{app.root}/backup/")
    Open3.capture2e({"PATH" => "#{app.root}:/usr/bin:/bin", "HOME" => "/"}, "/bin/sh", "-c", line, chdir: "/", unsetenv_others: true)
  end

  it "makes the day's backup, and prints nothing" do
    expect(run(command)).to match ["", be_success]
    backup = app.root.join("backup/#{Time.now.strftime("%d")}.sqlite3")
    expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
    expect(app.root.join("mail.txt")).not_to exist
  end

  it "sends a mail if the backup fails" do
    said, = run(command.sub("storage/production", "storage/no_such"))

    expect(said).to start_with "ERROR: neither path matches a managed database"
    expect(app.root.join("mail.txt").read).to eq "no backup of the app\n"
  end
end
