# frozen_string_literal: true

# A container may leave hardly any memory beside the application. The pages of a database belong to the page cache, which
# the kernel empties for the worker; only the worker's anonymous memory has to fit. Only on Linux does hotswap know how
# much memory a container leaves, and that it must not map the file.
RSpec.describe "a container with 64 MB of memory besides the application's own", :alone, :linux, lane: "default" do
  # The check looks every row up in a random place of the index. The table is larger than the memory.
  table = <<~SQL
    CREATE TABLE visitors (id INTEGER PRIMARY KEY, email TEXT NOT NULL, about TEXT NOT NULL);
    CREATE UNIQUE INDEX visitors_by_email ON visitors (email);
  SQL
  content = <<~SQL
    INSERT INTO visitors WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
      SELECT i, hex(randomblob(12)) || '@example.com', hex(randomblob(200)) FROM n;
  SQL

  before do
    @group = MemoryGroup.make(megabytes: 2_000) or skip "no control group can be made here"
    @app = keep(ItemsServer.start(by_way_of: @group.entering, schema: "#{ItemsServer::SCHEMA}; #{table}"))
    @group.limit_to(@group.own_memory + 64)
  end

  after do
    stop_servers
  ensure
    @group&.remove
  end

  attr_reader :app

  it "is enough for a push and a pull of a database twice as large" do
    file = app.file("new.sqlite3", "#{ItemsServer::SCHEMA}; #{table}; #{content}", %w[new])
    expect(File.size(file)).to be > 2 * 64 * 1024 * 1024

    expect(app.hotswap("cp", file, "storage/app.sqlite3")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "new"
    expect(app.hotswap("cp", "-", "storage/app.sqlite3", in: file)).to have_attributes(exit_code: 0)
    expect(app.hotswap("cp", "storage/app.sqlite3", "copy.sqlite3")).to have_attributes(exit_code: 0)
    expect(File.size(app.root.join("copy.sqlite3"))).to eq File.size(file)
    expect(app.process).to be_alive
  end
end
