# frozen_string_literal: true

RSpec.describe "a push while a process that the application cannot inspect has the database open", lane: "default" do
  include Privileges

  # Fails without the fallback of `push::run`: `/proc` does not show this process, and the lease shows it only when the
  # gates are closed already.
  it "writes in place" do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    skip "needs root, to run as another user" unless Process.uid.zero?
    app = keep(ItemsServer.start(by_way_of: unprivileged("-sys_ptrace"), settings: "config.max_pause = 0.4") do |server|
      FileUtils.chmod(0o777, [server.root, server.root.join("storage")])
      FileUtils.chmod(0o666, server.database_path)
    end)
    expect(app.version).to eq "old"
    stranger = Stranger.shell(app.database_path, by_way_of: %w[setpriv --reuid 65534 --regid 65534 --clear-groups])
    expect(stranger.ask("SELECT name FROM items")).to eq "old"
    inode = File.stat(app.database_path).ino

    result = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]), "database")

    expect(result).to have_attributes(exit_code: 0, stdout: "OK\n"), result.stderr
    expect(result.stderr).to include("In place, because the database #{Project.linux? ? "is open in a process that this user cannot see" : "could be open in a process outside"}")
    expect(stranger.ask("SELECT name FROM items")).to eq "new"
    expect(app.version).to eq "new"
    expect(File.stat(app.database_path).ino).to eq inode
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
  end
end
