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

  it "pulls each of them from Ruby, as docs/backups.md says" do
    pulled = app.runner(<<~'RUBY')
      p Hotswap.databases.reject(&:name).size
      tenants = Hotswap.databases.existing.reject(&:name)
      tenants.each { |tenant| p Hotswap.pull(tenant, to: "backups/#{tenant.path.split("/")[-2]}.sqlite3").bytes }
    RUBY
    expect(pulled.lines(chomp: true)).to eq %w[0 8192 8192]
    expect([read("backups/acme.sqlite3"), read("backups/beta.sqlite3")]).to eq [["of acme"], ["of beta"]]
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
    expect(app.root.join("backups").children).to eq []
  end

  it "copies the others if a pattern matches nothing, and one file once if two patterns match it" do
    none = app.hotswap("cp", "storage/none/*.sqlite3", "storage/no/*.sqlite3", "primary", "backups")
    expect(none).to have_attributes(exit_code: 2, stderr: %r{\AERROR: storage/none/\*\.sqlite3: no file matches storage/none/\*\.sqlite3, .*\nERROR: storage/no/})
    expect(none.stdout).to match(%r{\AFAILED 2  storage/none/\*\.sqlite3\nFAILED 2  storage/no/\*\.sqlite3\nOK        primary})
    json = app.hotswap("cp", "--json", "storage/none/*.sqlite3", "primary", "backups").stdout.lines.map { |line| JSON.parse(line) }
    expect(json).to match [{"from" => "storage/none/*.sqlite3", "exit_status" => 2, "error" => /no file matches/},
      include("from" => "primary", "to" => "backups/primary.sqlite3", "exit_status" => 0)]

    twice = app.hotswap("cp", "storage/tenants/*/main.sqlite3", "storage/tenants/a*/main.sqlite3", "backups")
    expect(twice).to have_attributes(exit_code: 0, stderr: ""), twice.stderr
    expect(twice.stdout.lines.size).to eq 2

    from_both = app.hotswap("cp", "tenants/*/main.sqlite3", "storage/tenants/*/main.sqlite3", "../backups", chdir: app.root.join("storage"))
    expect(from_both).to have_attributes(exit_code: 0, stderr: ""), from_both.stderr
    expect(from_both.stdout).to match(%r{\AOK        tenants/acme/main\.sqlite3 .*\nOK        tenants/beta/main\.sqlite3 .*\n\z})
  end

  it "goes on if tenants come and go meanwhile, and says which one has gone" do
    numbers = Array.new(12) { |number| "c#{number + 10}" }
    numbers.each { |tenant| Tenants.make(app.tenant_path(tenant), "of #{tenant}") }
    reader, writer = IO.pipe
    copying = app.start_hotswap("cp", "storage/tenants/c*/main.sqlite3", "primary", "backups", out: writer)
    writer.close
    lines = [reader.gets]
    FileUtils.rm_rf(File.dirname(app.tenant_path(numbers.last)))
    Tenants.make(app.tenant_path("c99"), "of c99")
    lines.concat(reader.readlines)

    gone = "storage/tenants/c21/main.sqlite3"
    expect(copying.wait).to have_attributes(exit_code: 4, stderr: /\AERROR: #{gone}: another program removed the database before it was copied\. .*\n\z/)
    expect(lines.grep_v(/\AOK/)).to eq ["FAILED 4  #{gone}\n"]
    expect(lines.size).to eq 13
    expect(app.root.join("backups").children.map { |file| file.basename.to_s }).to match_array(numbers[0..-2] + %w[primary.sqlite3])
    again = app.hotswap("cp", "storage/tenants/c*/main.sqlite3", "backups")
    expect(again).to have_attributes(exit_code: 0, stderr: ""), again.stderr
    expect(read("backups/c99/main.sqlite3")).to eq ["of c99"]
  ensure
    Dir.glob(app.root.join("storage/tenants/c*")).each { |folder| FileUtils.rm_rf(folder) }
  end

  # As in a crontab, whose commands run in the user's home.
  it "finds a pattern from the application's root, too" do
    copied = app.hotswap("cp", "storage/tenants/*/main.sqlite3", "primary", "../backups", chdir: app.root.join("storage"))
    expect(copied).to have_attributes(exit_code: 0, stderr: ""), copied.stderr
    expect(copied.stdout).to match(%r{^OK        storage/tenants/acme/main\.sqlite3 .*  \.\./backups/acme/main\.sqlite3$})
    expect(read("backups/beta/main.sqlite3")).to eq ["of beta"]
  end

  it "takes any name of a tenant" do
    names = ["a b", "it's", 'say "hi"', "50%41", "two\nlines", "Übergröße", "x*y", "x" * 200, "q?mode=ro#f"]
    names.each { |tenant| Tenants.make(app.tenant_path(tenant), "of one") }
    copied = app.hotswap("cp", "storage/tenants/*/main.sqlite3", "backups")
    expect(copied).to have_attributes(exit_code: 0, stderr: ""), copied.stderr
    said = copied.stdout.force_encoding(Encoding::UTF_8)
    expect(said.lines.size).to eq names.size + 2
    expect(said).to include('two\nlines', "Übergröße/main.sqlite3")
    # In columns, also behind a letter of two bytes.
    expect(said.lines.grep(/ü|a b/).map { |line| line.index("  8.00 KiB") }.uniq.size).to eq 1
    names.each do |tenant|
      path = app.tenant_path(tenant)
      expect(read(File.join("backups", tenant, "main.sqlite3"))).to eq ["of one"]
      pushed = app.hotswap("cp", app.notes_file("new", "pushed"), path)
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
      expect(JSON.parse(app.hotswap("status", "--json", path).stdout).dig("databases", 0)).to include("journal_mode" => "wal", "last_push" => include("event" => "push"))
      expect(app.hotswap("rollback", path)).to have_attributes(exit_code: 0)
      expect(read(path)).to eq ["of one"]
      expect(Dir.children(File.dirname(path))).to match_array ["", ".hotswap", ".hotswap.log", ".previous"].map { |added| "main.sqlite3#{added}" }
    end
  ensure
    names&.each { |tenant| FileUtils.rm_rf(File.dirname(app.tenant_path(tenant))) }
  end

  it "takes a tenant whose folder lies elsewhere" do
    Tenants.make(app.root.join("elsewhere/main.sqlite3").to_s, "of moved")
    File.symlink(app.root.join("elsewhere"), app.root.join("storage/tenants/moved"))
    expect(app.notes("moved")).to eq "of moved"
    expect(app.hotswap("cp", "storage/tenants/m*/main.sqlite3", "backups")).to have_attributes(exit_code: 0)
    expect(read("backups/moved/main.sqlite3")).to eq ["of moved"]
    ["storage/tenants/moved/main.sqlite3", "elsewhere/main.sqlite3"].each do |name|
      pushed = app.hotswap("cp", "--json", app.notes_file("new", "pushed to #{name}"), name)
      expect(JSON.parse(pushed.stdout)).to include("exit_status" => 0, "way" => HotswapCommand::BY)
      expect(app.notes("moved")).to eq "pushed to #{name}"
    end
    expect(app.root.join("storage/tenants/moved")).to be_symlink
  ensure
    FileUtils.rm_f(app.root.join("storage/tenants/moved"))
  end
end
