# frozen_string_literal: true

# Foreigners that open the database a thousand times a second: some are there when the file is to be replaced, some
# open it in that very instant.
RSpec.describe "a push while other programs reconnect all the time", :quiet, lane: "default" do
  # Every second push insists on a rename, and is refused if a program has the file open at that instant. Fails if the
  # worker does not keep the replaced file locked: a program that opened it at the instant of the rename would keep
  # using it. Fails without `Lease::wait`: the refusal would name no process.
  {5 => {slow: true}, 1_000 => {thorough: true, timeout: 3_600}}.each do |swaps, metadata|
    it "loses none of their rows, and none of them reads an old file: #{swaps} swaps", **metadata do
      app = keep(ItemsServer.start(settings: "config.timeout = 5"))
      app.version
      foreigners = Foreigners.new(app.database_path, app.root.to_s, %w[reads writes])
      done = {}
      kept = {}
      ways = Hash.new(0)
      until done.size == swaps
        never = (Project.linux? && ways.values_at("refused", "in place", "replaced").sum.odd? && ways["refused"] < 2 * swaps) ? ["--in-place=never"] : []
        version = "v#{done.size}"
        inode = File.stat(app.database_path).ino
        result = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, [version]), "database", *never)
        expect([0, 5, *(4 if never.any?)]).to include(result.exit_code), result.stderr
        ways["not confirmed"] += 1 if result.exit_code == 5
        # Not confirmed is either.
        next ways["refused"] += 1 unless result.success? || rows(app).include?(version)

        done[version] = Eventually.now
        ways[(File.stat(app.database_path).ino == inode) ? "in place" : "replaced"] += 1
        kept[version] = [Eventually.now, rows(app)]
      end
      foreigners.stop

      all = foreigners.visits
      order = ["old", *done.keys].each_with_index.to_h
      ends = done.values
      dead = all.select { |visit| visit.version && order.fetch(visit.version) < ends.bsearch_index { |at| at >= visit.began }.then { |after| after || ends.size } }
      lost = all.select { |visit| visit.token && (seen, there = kept[visit.version]) && visit.ended < seen && !there.include?(visit.token) }
      errors = all.filter_map(&:error).tally
      puts "      #{ways}; #{all.size} visits, #{all.count(&:token)} rows, errors #{errors}" if swaps > 100

      expect(ways["not confirmed"]).to be <= [swaps / 50, 1].max
      expect(dead.first(3)).to eq []
      expect(lost.first(3)).to eq []
      expect(errors.keys.grep(/malformed|not a database|disk I\/O|no such table/)).to eq []
      expect(all.count(&:token)).to be > swaps
      expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      expect(app.version.split.first).to eq done.keys.last
    ensure
      foreigners&.stop
    end
  end

  def rows(app) = TestDatabase.read(app.database_path) { |db| db.execute("SELECT name FROM items").flatten.to_set }
end
