# frozen_string_literal: true

require_relative "support/power_cut"
require_relative "support/power_cuts"
require_relative "support/watched_server"

# These specs depend on the order of the syncs in push/replace.rs (`run`: of the staged file before the rename, of the
# folder between the removal of the WAL and the rename, and again before the report), in staged.rs (`sync`), in
# live/mod.rs (`remove_sidecars`) and in target.rs (`put_in_place`).
RSpec.describe "a power cut", lane: "default" do
  before { skip "no C compiler here makes the library that stands in between" unless SystemCalls.available? }

  attr_reader :app, :tried

  %w[wal delete].each do |mode|
    it "during a push leaves the whole old or new database, and the new one after OK (#{mode})" do
      serve(journal_mode: mode) { |server| server.file(WatchedServer::LIVE, ItemsServer::SCHEMA, many("old"), journal_mode: mode) }
      app.add("written")
      app.file(WatchedServer::NEW, ItemsServer::SCHEMA, many("new"))
      old, new = [*many("old"), "written"], many("new")

      found = folders_during(:push) { |folder, past| [[past, *rows(folder, "app.sqlite3", mode)]] }

      expect(found.map { |_, *rows| rows }.uniq).to contain_exactly(old, new)
      expect(found.select { |past,| past.include?("report") }.map { |_, *rows| rows }.uniq).to eq [new]
      expect(found.last.first).to include("report")
      # In place, what SQLite has written but not synced may be there or not.
      expect(found.reject { |past,| past.include?("rename") }.map { |_, *rows| rows }.uniq).to eq [old] if Project.linux?
    end
  end

  # In place, SQLite must also sync the folder after it removes its journal (push/in_place/mod.rs, `prepare`).
  %w[wal delete].each do |mode|
    it "during a push in place leaves the whole old or new database, and the new one after OK (#{mode})" do
      serve(journal_mode: mode)
      app.offer("new")

      found = folders_during(:overwrite) { |folder, past| [[past, *rows(folder, "app.sqlite3", mode)]] }

      expect(found.map { |_, *rows| rows }.uniq).to contain_exactly(%w[old], %w[new])
      expect(found.select { |past,| past.include?("report") }.map { |_, *rows| rows }.uniq).to eq [%w[new]]
    end
  end

  # Fails without `make_durable` in push/in_place/mod.rs: the commit itself syncs no WAL, and the checkpoint after it none
  # while a reader is in the way.
  %w[wal delete].each do |mode|
    it "during a push of some tables leaves their old or new rows, the new ones after OK, and all others (#{mode})" do
      schema = WatchedServer::NOTING
      serve(journal_mode: mode, schema: schema)
      app.add("written")
      app.offer("new")
      Stranger.ruby(app.database_path).tap { |reader| ["BEGIN", "SELECT * FROM items"].each { |sql| reader.ask(sql) } } if mode == "wal"
      old, new, notes = %w[old written], %w[new], %w[old written]

      found = folders_during(:push_items) do |folder, past|
        way_back = File.exist?(File.join(folder, "app.sqlite3.previous")) && TestDatabase.integrity(File.join(folder, "app.sqlite3.previous"))
        [[past, way_back, *rows(folder, "app.sqlite3", mode, "UNION ALL SELECT name FROM notes")]]
      end

      expect(found.map { |_, _, *rows| rows }.uniq).to contain_exactly(old + notes, new + notes)
      expect(found.select { |past,| past.include?("report") }.map { |_, *rest| rest }.uniq).to eq [["ok", *new, *notes]]
    end
  end

  it "during a pull leaves yesterday's whole backup or the new one, and the new one after OK" do
    today = many("today")
    serve { |server| server.file(WatchedServer::LIVE, ItemsServer::SCHEMA, today, journal_mode: "wal") }
    no_log, yesterday = lay_a_log_beside(app.root.join(WatchedServer::BACKUP))
    app.add("and one more")
    today += ["and one more"]

    found = folders_during(:pull) { |folder, past| [[past, *rows(folder, "backup.sqlite3")]] }

    # The WAL goes first, because it must never meet the new file.
    expect(found.map { |_, *rows| rows }.uniq).to contain_exactly(yesterday, no_log, today)
    expect(found.reject { |past,| past.include?("rename") }.map { |_, *rows| rows }.uniq).to contain_exactly(yesterday, no_log)
    expect(found.last.drop(1)).to eq today
  end

  {ext4: "ext4", xfs: "XFS", btrfs: "btrfs"}.each do |kind, named|
    it "of a real file system leaves the whole old or new database, and the new one after OK (#{named})", :thorough, timeout: 1_200 do
      reason = MountedFolder.missing(kind) || MountedFolder.missing(:xfs)
      skip reason if reason
      cuts = PowerCuts.new(kind, seed: RSpec.configuration.seed).run(60)
      RSpec.configuration.reporter.message("        #{cuts}")
      expect(cuts.broken).to eq []
    end
  end

  private

  def serve(**options, &block)
    @app = WatchedServer.start(**options, &block)
    (@servers_of_this_example ||= []) << app
  end

  # Yields every folder that a power cut may leave during or after the command, with the calls so far.
  def folders_during(command)
    cut = PowerCut.new(app.root.join("storage"), seed: RSpec.configuration.seed)
    calls = app.calls.traced { expect(app.public_send(command)).to have_attributes(exit_code: 0) }
    past = []
    seen = Set.new
    @tried = {}
    found = [nil, *calls].flat_map do |call|
      next [] if call && !cut.add(call)

      past |= [call.call] if call
      folders = cut.folders.select { |names| seen.add?([past, names].hash) }
      folders.flat_map { |names| Dir.mktmpdir("cut") { |folder| yield(lay_out(names, folder), past) } }
    end
    RSpec.configuration.reporter.message("        #{calls.size} calls, #{found.size} power cuts")
    found
  end

  # Without the WAL index, which SQLite creates anew.
  def lay_out(names, folder)
    names.each { |name, bytes| File.binwrite(File.join(folder, name), bytes) unless name.end_with?("-shm") }
    folder
  end

  # As SQLite reads it when the machine is up again.
  def rows(folder, name, mode = nil, others = "")
    file = File.join(folder, name)
    key = [name, *["", "-wal", "-journal"].map { |suffix| File.exist?("#{file}#{suffix}") && Digest::SHA256.file("#{file}#{suffix}").hexdigest }]
    @tried[key] ||= begin
      expect(File.binread(file, 2, 18).bytes).to eq((mode == "wal") ? [2, 2] : [1, 1]) if mode
      expect(TestDatabase.integrity(file)).to eq "ok"
      TestDatabase.read(file) { |db| db.execute("SELECT name FROM (SELECT name FROM items ORDER BY id) #{others}").flatten }
    end
  end

  # With so many rows that the WAL has one page of many. Over another file it would produce a mix.
  def many(day) = Array.new(200) { |number| "#{number} of #{day}, #{"and so on " * 5}" }

  # Changes a row of yesterday in the WAL only. Returns the rows without and with the change.
  def lay_a_log_beside(file)
    rows = many("yesterday")
    other = app.file("other.sqlite3", ItemsServer::SCHEMA, rows, journal_mode: "wal")
    SQLite3::Database.new(other) do |db|
      db.execute("UPDATE items SET name = 'in the log' WHERE id = 1")
      ["", "-wal"].each { |suffix| FileUtils.cp("#{other}#{suffix}", "#{file}#{suffix}") }
    end
    [rows, ["in the log", *rows.drop(1)]]
  end
end
