# frozen_string_literal: true

# Unusual entries in database.yml.
RSpec.describe "a database.yml", :slow, lane: "default" do
  def boot(**options)
    boot_app(**options) do |server|
      yaml = server.root.join("config/database.yml")
      yaml.write(yield(yaml.read, server))
    end
  end

  def release_of(app, version) = app.databases.release(version)

  it "with default_transaction_mode: immediate allows swaps while transactions run" do
    app = boot(workers: 0) { |yaml| yaml.sub("  timeout: 5000\n", "  timeout: 5000\n  default_transaction_mode: immediate\n") }
    writers = Array.new(3) { |n| Thread.new { Array.new(15) { |m| app.post("/items", token: "#{n}-#{m}") } } }
    pushed = Array.new(3) { |n| app.hotswap("cp", release_of(app, "r#{n}"), "database") }

    expect(pushed.map(&:exit_code)).to eq [0, 0, 0]
    expect(writers.flat_map(&:value).map(&:status).tally).to eq(201 => 45)
    expect(app.version).to eq "r2"
  end

  it "with a database for each branch can start a branch from a copy of the running one" do
    main = boot do |yaml, server|
      FileUtils.mv(server.database_path, server.root.join("storage/main.sqlite3"))
      yaml.gsub("storage/<%= environment %>.sqlite3", "storage/<%= ENV.fetch('BRANCH', 'main') %>.sqlite3")
    end
    expect(main.hotswap("cp", release_of(main, "of main"), "primary")).to have_attributes(exit_code: 0)
    expect(main.hotswap("cp", "primary", "log/feature.sqlite3")).to have_attributes(exit_code: 0)

    branch = boot_app(env: {BRANCH: "feature"}) do |server|
      FileUtils.cp(main.root.join("config/database.yml"), server.root.join("config/database.yml"))
      FileUtils.cp(main.root.join("log/feature.sqlite3"), server.root.join("storage/feature.sqlite3"))
    end
    expect(branch.version).to eq "of main"
    expect(branch.hotswap("cp", release_of(branch, "of the branch"), "storage/feature.sqlite3")).to have_attributes(exit_code: 0)
    expect([main.version, branch.version]).to eq ["of main", "of the branch"]
  end

  it "with nolock for one database still manages the others" do
    uri = "file:storage/<%= environment %>-<%= name %>.sqlite3?nolock=<%= name == 'errors' ? 1 : 0 %>\n    flags: 70"
    app = boot { |yaml| yaml.sub("storage/<%= environment %>-<%= name %>.sqlite3", uri) }

    expect(app.log).to include("managing 3 database(s)", "storage/production-errors.sqlite3 is not managed: nolock=1")
    expect(app.hotswap("cp", "errors", "log/out.sqlite3")).to have_attributes(exit_code: 3, stderr: /is not managed: nolock=1/)
    expect(app.hotswap("cp", "cache", "log/out.sqlite3")).to have_attributes(exit_code: 0)
    expect(app.hotswap("cp", release_of(app, "beside it"), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "beside it"
  end
end
