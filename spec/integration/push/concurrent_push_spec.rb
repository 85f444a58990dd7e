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

RSpec.describe "a process that is not hotswap and shares the lock of a push", lane: "default" do
  # Fails without `require_operation`: the message would call that process a push.
  it "is named, and the push is refused" do
    server = ItemsServer.start
    fence = "#{server.database_path}.hotswap"
    server.version
    sharing = IO.popen([RbConfig.ruby, "-e", <<~RUBY, fence], "r+")
      $stdout.sync = true
      # F_SETLK of a read lock on byte 1.
      File.open(ARGV[0]) { |file| file.fcntl(6, [0, 0, 1, 1, 0].pack("s!s!x4q!q!i!x4")) && (puts("locked") || $stdin.read) }
    RUBY
    expect(sharing.gets).to eq "locked\n"
    new = server.file("new.sqlite3", ItemsServer::SCHEMA, %w[new])

    refused = server.hotswap("cp", new, "database")
    expect(refused).to have_attributes(exit_code: 3, stderr: /^ERROR: process #{sharing.pid}.* holds a lock on #{fence} that only hotswap takes, so no push can begin\. End that process/)
    expect(server.hotswap("cp", "database", "-")).to have_attributes(exit_code: 0)
    sharing.close
    expect(server.hotswap("cp", new, "database")).to have_attributes(exit_code: 0)
  ensure
    sharing&.close unless sharing&.closed?
    server&.tear_down
  end
end
