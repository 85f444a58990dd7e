# frozen_string_literal: true

# While the worker writes the new content, requests wait and no process can write. The worker estimates that time first.
RSpec.describe "a push in place that would take longer than max_pause", :slow, :quiet, lane: "default" do
  def filled(app, name, megabytes)
    app.file("files/#{name}.sqlite3", ItemsServer::SCHEMA, [name]).tap do |path|
      SQLite3::Database.new(path) do |db|
        db.execute("CREATE TABLE filling (bytes)")
        megabytes.times { db.execute("INSERT INTO filling VALUES (zeroblob(1000000))") }
      end
    end
  end

  # Fails without `takes_too_long`, and the second half without `Fleet::ask_for`: then the members kill the worker.
  it "is refused with the figures before any request waits, and runs with --in-place=always" do
    app = keep(ItemsServer.start(settings: "config.max_pause = 0.15"))
    expect(app.version).to eq "old"
    stranger = Stranger.ruby(app.database_path)
    large = filled(app, "large", 100)
    log = app.log.length

    refused = untouched(app) { app.hotswap("cp", large, "database", "--skip-schema-check") }
    expect(refused).to have_attributes(exit_code: 3, stdout: "")
    expect(refused.stderr).to match(/#{HotswapCommand.open_in(stranger.pid)}.*10\d\.\d MB at \d+ MB\/s, about \d+\.\d{3} s.*longer than max_pause \(0\.15 s\)/m)
    expect(refused.stderr).to include("Pass --in-place=always or a longer --max-pause to let requests wait", Project.linux? ? "close it there" : "push on Linux")
    expect(app.log[log..]).not_to include("requests are queued")

    expect(app.hotswap("cp", large, "database", "--skip-schema-check", "--in-place=always")).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(app.version).to eq "large"
    expect(stranger.ask("SELECT name FROM items")).to eq "large"
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
  end
end
