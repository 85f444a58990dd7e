# frozen_string_literal: true

RSpec.describe "a push in place while another program replaces the file", lane: "default" do
  # Fails without the identity that `Live` remembers: the worker would write into a file without a name, and report
  # success.
  it "is refused, and the other program's file is served" do
    skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
    app = keep(ItemsServer.start)
    expect(app.version).to eq "old"
    theirs = app.file("files/theirs.sqlite3", ItemsServer::SCHEMA, ["theirs"])
    stranger = Stranger.shell(app.database_path)
    expect(stranger.ask("BEGIN IMMEDIATE")).to eq ""

    # In place it waits for the stranger's transaction, with the gates open.
    push = app.start_hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]), "database")
    eventually(20) { app.log.include?("writing in place, because the database #{HotswapCommand.open_in(stranger.pid)}") }
    ["-shm", "-wal", ""].each { |suffix| File.rename(app.database_path + suffix, app.root.join("files/away#{suffix}").to_s) }
    File.rename(theirs, app.database_path)
    expect(stranger.ask("ROLLBACK")).to eq ""

    expect(push.wait).to have_attributes(exit_code: 4, stdout: "", stderr: /another program replaced .* in the meantime/)
    # It was not written in place, and nothing claims that it was.
    expect(push.stderr).not_to include("In place")
    expect(app.version).to eq "theirs"
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect(app.stray_files).to eq []
  end
end
