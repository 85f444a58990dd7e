# frozen_string_literal: true

# By the commands that docs/backups.md lists.
RSpec.describe "a restore with the application stopped" do
  commands = Project::ROOT.join("docs/backups.md").read[/^\*\*With the application stopped\*\*.*?\n\n((?: {4}[^\n]*\n)+)/m, 1]

  it "gives the application the backup, and later swaps work" do
    app = boot_app
    backup = app.databases.release("restored")
    expect(app.hotswap("cp", app.databases.release("lost"), "primary")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "lost"
    before = File.stat(app.database_path)
    app.stop
    # What a machine that lost its power leaves.
    File.write("#{app.database_path}-wal", "of the lost database")

    script = commands.gsub("/srv/app", app.root.to_s).gsub("/backup/21.sqlite3", backup)
    restored = HotswapCommand.run("-e", "-c", script, program: ["sh"], chdir: "/", env: DemoApp.environment)
    expect(restored).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(File.stat(app.database_path)).to have_attributes(mode: before.mode, uid: before.uid, gid: before.gid)

    app.boot
    expect(app.version).to eq "restored"
    expect(app.hotswap("cp", app.databases.release("next"), "primary")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "next"
  end
end
