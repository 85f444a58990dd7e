# frozen_string_literal: true

require_relative "../in_place/support/headed_database"

# SQLite's extension cksumvfs writes a checksum into each page, and takes a page with another one for a broken disk.
RSpec.describe "a database with a checksum in every page" do
  def sealed(path)
    HeadedDatabase.new(reserved: 8).make(path)
    File.open(path, "r+b") do |file|
      (file.size / 1024).times do |number|
        first = second = 0
        file.pread(1016, number * 1024).unpack("V*").each_slice(2) do |one, other|
          first = (first + one + second) & 0xffffffff
          second = (second + other + first) & 0xffffffff
        end
        file.pwrite([first, second].pack("V2"), number * 1024 + 1016)
      end
    end
    path
  end

  def expect_refused(result)
    expect(result).to have_attributes(exit_code: 3, stdout: "")
    expect(result.stderr).to match(/ERROR: .* has a checksum in every page \(SQLite's extension cksumvfs\)/)
  end

  # Fails without the calls of `checksums::refuse`: the application could not read a single page of the new database.
  it "can be neither pushed, nor pulled, nor replaced" do
    app = keep(ItemsServer.start { |server| HeadedDatabase.new(journal_mode: "wal").make(server.database_path) })
    file = sealed(app.root.join("files").tap(&:mkpath).join("sealed.sqlite3").to_s)
    untouched(app) do
      expect_refused(app.hotswap("cp", file, "database"))
      expect_refused(app.hotswap("cp", "-", "database", stdin_data: File.binread(file)))
      expect_refused(app.hotswap("cp", file, "database", "--in-place=always"))
    end
    # As many reserved bytes are no checksum.
    HeadedDatabase.new(reserved: 8).make(file)
    expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0)

    live = keep(ItemsServer.start { |server| sealed(server.database_path) })
    before = File.binread(live.database_path)
    expect_refused(live.hotswap("cp", "database", "out.sqlite3"))
    expect_refused(live.hotswap("cp", "database", "-"))
    expect_refused(live.hotswap("cp", file, "database"))
    expect(File.binread(live.database_path)).to eq before
  end
end
