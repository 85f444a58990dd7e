# frozen_string_literal: true

RSpec.describe "a push during a pull", lane: "default" do
  around do |example|
    @server = ItemsServer.start { |server| server.file("storage/app.sqlite3", ItemsServer::SCHEMA, ["old" * 5_000_000], journal_mode: "wal") }
    example.run
  ensure
    @server&.tear_down
  end

  it "waits until the snapshot is complete while requests continue, and then succeeds" do
    reader, writer = IO.pipe(binmode: true)
    pull = @server.start_hotswap("cp", "storage/app.sqlite3", "-", out: writer)
    writer.close
    snapshot = reader.readpartial(1)

    push = @server.start_hotswap("cp", @server.file("new.sqlite3", ItemsServer::SCHEMA, %w[new]), "storage/app.sqlite3")
    @server.eventually { @server.log.include?("acquiring swap lock") }
    expect(@server.version).to start_with "old"
    expect(push).to be_running

    snapshot << reader.read
    expect(pull.wait).to have_attributes(exit_code: 0)
    expect(push.wait).to have_attributes(exit_code: 0, stdout: "OK\n")
    expect(@server.version).to eq "new"

    file = @server.root.join("snapshot.sqlite3").tap { |path| path.binwrite(snapshot) }.to_s
    expect(TestDatabase.read(file) { |db| db.get_first_value("SELECT length(name) FROM items") }).to eq 15_000_000
  ensure
    reader&.close
  end
end
