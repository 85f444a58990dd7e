# frozen_string_literal: true

# As cp does: several sources, and a folder.
RSpec.describe "hotswap cp with several sources", lane: "default" do
  running_app(Tenants, workers: 0)

  def read(file) = TestDatabase.read(app.root.join(file).to_s) { |db| db.execute("SELECT text FROM notes").flatten }

  before { FileUtils.rm_rf(app.root.join("backups")) && app.root.join("backups").mkpath }

  it "pulls a snapshot of each database, by name, path and pattern" do
    app.notes("acme")
    pulled = app.hotswap("cp", "primary", "storage/production-queue.sqlite3", "storage/tenants/*/main.sqlite3", "backups/")
    expect(pulled).to have_attributes(exit_code: 0, stderr: ""), pulled.stderr
    expect(app.root.join("backups").glob("**/*.sqlite3").map { |file| file.relative_path_from(app.root.join("backups")).to_s })
      .to match_array %w[primary.sqlite3 production-queue.sqlite3 acme/main.sqlite3 beta/main.sqlite3]
    expect([read("backups/acme/main.sqlite3"), read("backups/beta/main.sqlite3")]).to eq [["of acme"], ["of beta"]]
    expect(pulled.stdout.lines.size).to eq 4
    expect(pulled.stdout).to match(%r{^OK        primary +[\d.]+ MiB  backups/primary\.sqlite3$})
      .and match(%r{^OK        storage/tenants/acme/main\.sqlite3 +8\.00 KiB  backups/acme/main\.sqlite3$})
  end

  it "goes on after a failure, and exits with the worst status" do
    pulled = app.hotswap("cp", "nothing", "storage/tenants/*/main.sqlite3", "backups")
    expect(pulled).to have_attributes(exit_code: 2, stderr: /\AERROR: nothing: neither path matches/)
    expect(pulled.stdout).to match(/^FAILED 2  nothing$/).and match(/^OK .*beta/)

    lines = app.hotswap("cp", "--json", "nothing", "primary", "backups").stdout.lines.map { |line| JSON.parse(line) }
    expect(lines).to match [include("exit_status" => 2, "error" => String), include("exit_status" => 0, "command" => "pull", "identity" => String)]
  end

  it "replaces no database, also if the arguments are in the wrong order" do
    %w[acme newborn].each { |tenant| Tenants.make(app.root.join("backups", tenant, "main.sqlite3").to_s, "of the backup") }
    pushed = app.hotswap("cp", "backups/*/main.sqlite3", "storage/tenants")
    expect(pushed).to have_attributes(exit_code: 2, stderr: %r{^ERROR: backups/acme/main\.sqlite3: storage/tenants/acme/main\.sqlite3 is a managed database, and a copy into a folder})
    expect(pushed.stdout).to match(/^FAILED 2 .*acme/).and match(/^FAILED 2 .*newborn/)
    expect(app.notes("acme")).to eq "of acme"
    expect(app.root.join("storage/tenants/newborn")).not_to exist
  end

  it "pulls a single source into a folder, too, under its name" do
    one = app.hotswap("cp", "primary", "backups")
    expect(one).to have_attributes(exit_code: 0, stdout: "", stderr: /^OK$/), one.stderr
    expect(app.hotswap("cp", "storage/production-queue.sqlite3", "backups/", "--quiet")).to have_attributes(exit_code: 0)
    expect(app.root.join("backups").children.map { |file| file.basename.to_s }).to match_array %w[primary.sqlite3 production-queue.sqlite3]
    before = app.root.join("storage/production-queue.sqlite3").stat.ino
    pushed = app.hotswap("cp", "backups/production-queue.sqlite3", "storage")
    expect(pushed).to have_attributes(exit_code: 2, stderr: %r{^ERROR: storage/production-queue\.sqlite3 is a managed database, .* name this database as the last argument$})
    expect(app.root.join("storage/production-queue.sqlite3").stat.ino).to eq before
  end

  it "copies nothing if two snapshots would have the same name, or there is no folder" do
    same = app.hotswap("cp", "storage/tenants/acme/main.sqlite3", "storage/tenants/beta/main.sqlite3", "backups")
    expect(same).to have_attributes(exit_code: 2, stdout: "", stderr: %r{would both become backups/main\.sqlite3})
    nowhere = app.hotswap("cp", "primary", "queue", "nowhere")
    expect(nowhere).to have_attributes(exit_code: 2, stdout: "", stderr: /'nowhere' is not a folder/)
    none = app.hotswap("cp", "storage/none/*.sqlite3", "backups")
    expect(none).to have_attributes(exit_code: 2, stdout: "", stderr: /no file matches/)
    expect(app.root.join("backups").children).to eq []
  end
end
