# frozen_string_literal: true

# Databases that the application creates while it runs.
RSpec.describe "an application with a database for each tenant", :unhurried do
  running_app(Tenants, workers: 2)

  it "pushes, pulls and rolls back one tenant" do
    expect([app.notes("acme"), app.notes("beta")]).to eq ["of acme", "of beta"]

    pushed = app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/acme/main.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), pushed.stderr
    expect(Array.new(8) { app.notes("acme") }.uniq).to eq ["pushed"]

    pulled = app.hotswap("cp", app.tenant_path("acme"), "backup.sqlite3")
    expect(pulled).to have_attributes(exit_code: 0), pulled.stderr
    expect(TestDatabase.read(app.root.join("backup.sqlite3").to_s) { |db| db.get_first_value("SELECT text FROM notes") }).to eq "pushed"

    back = app.hotswap("rollback", "storage/tenants/acme/main.sqlite3")
    expect(back).to have_attributes(exit_code: 0), back.stderr
    expect(Array.new(8) { app.notes("acme") }.uniq).to eq ["of acme"]
    expect(app.notes("beta")).to eq "of beta"
  end

  it "manages a tenant that was created a moment ago" do
    expect(app.post("/tenants/fresh", new: "1", text: "first").status).to eq 201
    pushed = app.hotswap("cp", "--json", app.notes_file("new", "pushed"), "storage/tenants/fresh/main.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    expect(JSON.parse(pushed.stdout)).to include("way" => HotswapCommand::BY)
    expect(Array.new(8) { app.notes("fresh") }.uniq).to eq ["pushed"]
  end

  it "creates a tenant by a push" do
    expect(app.get("/tenants/born").status).to eq 404
    pushed = app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/born/main.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0, stderr: /Created .*born, which did not exist\.$/), pushed.stderr
    expect(pushed.stderr).not_to include("disk")
    expect(app.notes("born")).to eq "pushed"
    modes = %w[acme born].map { |tenant| File.stat(app.tenant_path(tenant)).then { |stat| [stat.mode, stat.uid, stat.gid] } }
    expect(modes.uniq.size).to eq 1
  end

  it "removes what a killed creation of a tenant has left, at the next boot" do
    push = FedCommand.start(app, "cp", "-", "storage/tenants/halfborn/main.sqlite3")
    push.write(File.binread(app.notes_file("new", "pushed"))[0, 4096])
    left = -> { Dir.glob("{.,}*.staged", base: app.root.join("storage/tenants/halfborn")) }
    eventually { left.call.any? }
    worker = eventually { app.process.members.find { |pid| ServerProcess.command_line(pid).start_with?("hotswap worker") } }
    Process.kill(:KILL, worker)
    push.close
    push.wait
    expect(left.call.size).to eq 1

    app.restart
    eventually { Dir.empty?(app.root.join("storage/tenants/halfborn")) }
    expect(app.get("/tenants/halfborn").status).to eq 404
  end

  context "if the file for a new tenant is refused" do
    # A tenant whose database no process has opened.
    let(:tenant) { "unborn-#{SecureRandom.hex(4)}" }
    let(:folder) { app.root.join("storage/tenants", tenant) }
    let(:content) { File.binread(app.notes_file("new", "pushed")) }

    # A push that has sent part of the file.
    def begun
      staged = -> { folder.glob("*.staged", File::FNM_DOTMATCH).size }
      before = staged.call
      push = FedCommand.start(app, "cp", "-", app.tenant_path(tenant))
      push.write(content[0, 4096])
      eventually { staged.call > before }
      push
    end

    def refuse(push)
      push.close
      expect(push.wait).to have_attributes(exit_code: 3)
    end

    it "leaves nothing behind, and keeps a folder that was already there" do
      refuse(begun)
      expect(folder).not_to exist
      folder.mkpath
      refuse(begun)
      expect(folder).to be_empty
      expect(app.hotswap("cp", "--dry-run", app.notes_file("new", "pushed"), app.tenant_path(tenant))).to have_attributes(exit_code: 0)
      expect(folder).to be_empty
    end

    it "keeps an empty folder that another program has locked" do
      folder.mkpath
      File.open(folder) do |locked|
        locked.flock(File::LOCK_EX)
        refuse(begun)
      end
      expect(folder).to be_empty
    end

    it "leaves nothing behind if two pushes run at once" do
      [begun, begun].each { |push| refuse(push) }
      expect(folder).not_to exist
    end

    it "does not disturb another push that creates the tenant" do
      bad, good = begun, begun
      refuse(bad)
      good.write(content[4096..])
      good.close
      expect(good.wait).to have_attributes(exit_code: 0)
      expect(app.notes(tenant)).to eq "pushed"
    end

    # The folder comes and goes in the moment in which another push looks for it.
    it "disturbs no push that begins at any moment" do
      good = app.notes_file("new", "pushed").to_s
      bad = app.root.join("bad.sqlite3").tap { |file| file.binwrite(content[0, 4096]) }.to_s
      8.times do |n|
        pushes = [bad, good, bad].map { |file| app.start_hotswap("cp", file, app.tenant_path("#{tenant}-#{n}")).tap { sleep 0.005 * n } }
        expect(pushes.map { |push| push.wait.exit_code }).to eq [3, 0, 3]
        expect(app.notes("#{tenant}-#{n}")).to eq "pushed"
      end
    end
  end

  it "does not know a tenant that does not exist, and says that a push would create it" do
    %w[status log].each do |command|
      answer = app.hotswap(command, "storage/tenants/nowhere/main.sqlite3")
      expect(answer).to have_attributes(exit_code: 2, stdout: "", stderr: <<~TEXT)
        ERROR: storage/tenants/nowhere/main.sqlite3 does not exist. It matches storage/tenants/*/main.sqlite3, so a push to it would create it
      TEXT
    end
    expect(app.hotswap("status").exit_code).to eq 0
    pulled = app.hotswap("cp", "storage/tenants/nowhere/main.sqlite3", "copy.sqlite3")
    expect(pulled).to have_attributes(exit_code: 2, stderr: /nowhere\/main\.sqlite3 does not exist\. It matches/)
    back = app.hotswap("rollback", "storage/tenants/nowhere/main.sqlite3")
    expect(back).to have_attributes(exit_code: 2, stderr: /nowhere\/main\.sqlite3 does not exist\. It matches/)
    expect(app.root.join("storage/tenants/nowhere")).not_to exist
  end

  it "names the pattern in the advice on a tenant without rules" do
    app.notes("acme")
    refused = app.hotswap("cp", "--redacted", "storage/tenants/acme/main.sqlite3", "redacted.sqlite3")
    expect(refused).to have_attributes(exit_code: 3, stderr: %r{no rule for storage/tenants/acme/main\.sqlite3, .* Add a rule with database: "tenant" in})
  end

  it "lists the tenants that exist" do
    app.notes("acme")
    answer = app.hotswap("status", "--json")
    found = JSON.parse(answer.stdout).fetch("databases").select { |database| database["pattern"] == "storage/tenants/*/main.sqlite3" }
    expect(found.map { |database| database["database"] }).to include("storage/tenants/acme/main.sqlite3", "storage/tenants/beta/main.sqlite3")
    one = app.hotswap("status", "storage/tenants/acme/main.sqlite3")
    expect(one.stdout).to start_with("storage/tenants/acme/main.sqlite3: ").and match(Project.linux? ? /web \d+ .*: takes part in swaps/ : /process \d+: takes part in swaps/)
    expect(one.stdout).not_to include("beta")
  end

  it "refuses what is not a tenant, and the files next to one" do
    lost = app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/a/b/main.sqlite3")
    expect(lost).to have_attributes(exit_code: 2)
    expect(lost.stderr).to include("storage/tenants/*/main.sqlite3")

    beside = app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/acme/main.sqlite3-wal")
    expect(beside).to have_attributes(exit_code: 2, stderr: /belongs to the managed database storage\/tenants\/acme/)

    nameless = app.hotswap("cp", app.notes_file("new", "pushed"), "tenant")
    expect(nameless).to have_attributes(exit_code: 2, stderr: /by its name \(primary, queue, cache, errors\).*name one of them$/)
    expect(app.hotswap("rollback").stderr).to match(%r{are primary, queue, cache, errors, storage/tenants/\*/main\.sqlite3\. A path with \*.*name one of them$})
    one = "takes one database, and storage/tenants/*/main.sqlite3 may stand for several. Name one of them, such as storage/tenants/acme/main.sqlite3"
    expect(app.hotswap("rollback", "storage/tenants/*/main.sqlite3")).to have_attributes(exit_code: 2, stdout: "", stderr: "ERROR: a rollback #{one}\n")
    expect(app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/*/main.sqlite3")).to have_attributes(exit_code: 2, stderr: "ERROR: a push #{one}\n")
    expect(app.hotswap("rollback", "storage/x/*")).to have_attributes(exit_code: 2, stderr: %r{\AERROR: no managed database matches storage/x/\*\. hotswap manages })
    expect(app.hotswap("rollback", "nothing")).to have_attributes(exit_code: 2, stderr: /\AERROR: nothing is not a managed database\. The managed databases are .*main\.sqlite3\. A path with \*.*name one of them$/)
    expect(app.log).to match(/managing 5 database\(s\) and patterns: .*storage\/tenants\/\*\/main\.sqlite3/)
  end
end
