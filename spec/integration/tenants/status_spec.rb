# frozen_string_literal: true

require_relative "../crash/support/watched_server"

# worker/status: what an answer costs, and what it says, if the application has very many databases.
RSpec.describe "hotswap status and log of many databases", lane: "default" do
  many = 60
  pattern = "storage/many-*.sqlite3"

  context "of a pattern" do
    watched_app(settings: "Hotswap.register(#{pattern.inspect})") do |server|
      # Version 7, as Rails notes it.
      migrated = "#{WatchedServer::SCHEMA}; CREATE TABLE schema_migrations (version PRIMARY KEY); INSERT INTO schema_migrations VALUES ('7')"
      many.times { |number| server.file("storage/many-#{number}.sqlite3", migrated, ["of #{number}"]) }
    end

    def databases(*arguments) = JSON.parse(app.hotswap("status", "--json", *arguments).stdout).fetch("databases").select { |one| one["pattern"] }

    # The calls of the worker for the folder of the databases, as "open many-7.sqlite3".
    def calls
      traced = app.calls.traced { expect(app.hotswap("status")).to have_attributes(exit_code: 0) }
      traced.select { |call| call.program == "worker" }.map { |call| "#{call.call} #{call.file}" }
    end

    it "looks into none of them, lists their folder a few times, and makes few calls for each" do
      made = calls
      expect(made.grep(/\A(read|mmap|lock) many-\d+\.sqlite3\z/)).to eq []
      expect(made.grep(/\Aopendir/).size).to be < 5
      of_each = made.grep(/many-\d+\.sqlite3/).group_by { |call| call[/many-\d+/] }
      expect(of_each.size).to eq many
      expect(of_each.values.map(&:size).max).to be < 20
      expect(databases).to all(include("exists" => true, "bytes" => Integer).and(satisfy { |one| !one.key?("schema_version") && !one.key?("journal_mode") }))
    end

    it "looks into those that the question names, by a path or a pattern" do
      expect(databases("storage/many-7.sqlite3")).to match [include("schema_version" => "7", "journal_mode" => "rollback")]
      expect(databases(pattern)).to have_attributes(size: many).and all(include("schema_version" => "7"))
      expect(databases(app.root.join("storage/many-1*.sqlite3"))).to have_attributes(size: 11)

      text = app.hotswap("status", "storage/*-5?.sqlite3")
      expect(text).to have_attributes(exit_code: 2, stderr: %r{^ERROR: no managed database matches storage/\*-5\?\.sqlite3\. hotswap manages storage/many-\*\.sqlite3, storage/app\.sqlite3, as far as they exist$})
      text = app.hotswap("status", "storage/many-5*.sqlite3").stdout
      expect(text.scan(/^storage\/many-5\d?\.sqlite3: .*schema version 7$/).size).to eq 11
    end

    it "sums them up for people, with the newest push of all" do
      expect(app.hotswap("cp", "storage/many-3.sqlite3", "storage/new.sqlite3")).to have_attributes(exit_code: 0)
      expect(app.hotswap("cp", "storage/new.sqlite3", "storage/many-4.sqlite3", "--label", "four")).to have_attributes(exit_code: 0)
      expect(app.hotswap("status").stdout).to match(/^storage\/many-\*\.sqlite3: #{many} databases, .*\n  last push: .*many-4\.sqlite3.*label four/)
      log = app.hotswap("log", "storage/many-*.sqlite3")
      expect(log.stdout.lines).to match [/ pull .*many-3/, / push .*many-4/]
      expect(app.hotswap("log", "storage/many-4*.sqlite3", "-n", "1").stdout).to match(/\A.* push .*many-4.*\n\z/)
      expect(app.hotswap("rollback", "storage/many-4*.sqlite3")).to have_attributes(exit_code: 2, stderr: /a rollback takes one database, .*such as storage\/many-4\.sqlite3$/)
    end
  end

  # Three disks that are down make an answer take 0.3 seconds.
  it "answers although tenants come and go meanwhile" do
    server = ItemsServer.start(settings: %(Hotswap.register("storage/tenants/*.sqlite3"); 3.times { |number| Hotswap.register("storage/down-\#{number}") })) do |app|
      app.root.join("storage/tenants").mkpath
      3.times { |number| File.mkfifo(app.root.join("storage/down-#{number}")) }
    end
    tenant = server.root.join("storage/tenants/fleeting.sqlite3")
    over = false
    coming_and_going = Thread.new do
      until over
        tenant.write("")
        sleep 0.05
        tenant.delete
        sleep 0.05
      end
    end
    6.times do
      expect(server.hotswap("status")).to have_attributes(exit_code: 0, stderr: "")
      expect(server.hotswap("log")).to have_attributes(exit_code: 0, stderr: "")
    end
    expect(server.hotswap("status", "storage/tenants/none.sqlite3")).to have_attributes(exit_code: 2, stderr: /none\.sqlite3/)
  ensure
    over = true
    coming_and_going&.join
    server&.tear_down
  end

  # A pipe without a writer makes its opener wait, as a disk does that is down.
  it "has few threads that wait for a disk, and answers all the same" do
    server = ItemsServer.start(settings: %(12.times { |number| Hotswap.register("storage/down-\#{number}") })) do |app|
      12.times { |number| File.mkfifo(app.root.join("storage/down-#{number}")) }
    end
    reader, writer = IO.pipe
    watching = server.start_hotswap("status", "--json", "--watch", out: writer)
    writer.close
    answers = Array.new(3) { JSON.parse(reader.gets).fetch("databases") }
    worker = server.process.members.find { |pid| ServerProcess.command_line(pid).start_with?("hotswap worker") }
    waiting = Dir.glob("/proc/#{worker}/task/*/comm").map { |file| File.read(file).chomp }.count("glance")

    expect(waiting).to eq 3
    expect(answers.map(&:size)).to all eq 13
  ensure
    watching&.kill(:INT)
    watching&.wait
    server&.tear_down
  end
end
