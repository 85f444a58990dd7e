# frozen_string_literal: true

require_relative "../fleet/support/fleet"

RSpec.describe "an application whose database is written in place", :fleet, :slow, lane: "default" do
  let(:live) { "storage/production.sqlite3" }

  # Without the gate their writers would run into SQLite's lock, and those of them that began by reading into a
  # database that is locked for good.
  it "answers every request, with the new rows and columns after OK, and loses no later write" do
    app = boot_app(workers: 2, initializer: "Rails.application.config.hotswap.max_pause = 2")
    expect_all_on(app, app.version, processes: 2)
    stranger = Stranger.ruby(app.database_path)
    inode = File.stat(app.database_path).ino
    done = {}

    visitors = Visitors.spawn(port: app.port, gets_per_second: 60, posts_per_second: 30)
    %w[first second third].each do |version|
      file = app.databases.of_size(20, version: version)
      result = app.hotswap("cp", file, live)
      expect(result).to have_attributes(exit_code: 0, stderr: /^#{HotswapCommand.in_place_beside(stranger.pid)}/), result.stderr
      done[version] = Eventually.now
    end
    column = app.databases.changed("column.sqlite3", version: "column") { |db| db.execute("ALTER TABLE items ADD COLUMN price REAL") }
    expect(app.hotswap("cp", column, live, "--skip-schema-check")).to have_attributes(exit_code: 0)
    done["column"] = Eventually.now
    eventually { TestDatabase.read(app.database_path) { |db| db.get_first_value("SELECT count(*) FROM items WHERE token IS NOT NULL") } > 5 }
    report = visitors.finish
    visitors = nil

    expect(report.failures.first(3)).to eq []
    order = ["", *done.keys]
    stale = report.visits.select { |visit| visit.version && done.any? { |version, at| visit.started > at && (order.index(visit.version) || 0) < order.index(version) } }
    expect(stale.first(3)).to eq []
    tokens = TestDatabase.read(app.database_path) { |db| db.execute("SELECT token FROM items WHERE token IS NOT NULL").flatten }
    promised = report.acknowledged.select { |visit| visit.version == "column" }.map(&:token)
    expect(promised - tokens).to eq []
    expect(promised).not_to be_empty
    expect_all_on(app, "column", processes: 2)
    expect(File.stat(app.database_path).ino).to eq inode
    expect(stranger.ask("SELECT version FROM releases ORDER BY id DESC LIMIT 1")).to eq "column"
    expect(TestDatabase.integrity(app.database_path)).to eq "ok"
    expect_nothing_left(app)
  ensure
    visitors&.dismiss
  end
end
