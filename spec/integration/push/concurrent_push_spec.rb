# frozen_string_literal: true

RSpec.describe "two pushes at once", lane: "default" do
  it "run one after the other, and both succeed" do
    server = ItemsServer.start
    files = Array.new(4) { |number| server.file("incoming/#{number}.sqlite3", ItemsServer::SCHEMA, ["new-#{number}"]) }

    results = files.map { |file| Thread.new { server.hotswap("cp", file, "storage/app.sqlite3") } }.map(&:value)

    expect(results).to all(have_attributes(exit_code: 0, stdout: "OK\n"))
    expect(server.version).to match(/\Anew-\d\z/)
  ensure
    server&.tear_down
  end
end
