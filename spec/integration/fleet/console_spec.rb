# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "consoles and scripts", :fleet, :unhurried do
  let(:settings) { "Rails.application.config.hotswap.timeout = 2; Rails.application.config.hotswap.max_pause = 0.3" }
  let(:app) { boot_app(workers: 2, initializer: settings) }
  let(:generations) { Generations.new(app) }

  before { expect_all_on(app, "v1", processes: 2) }

  def console(*options)
    console = AppProgram.console(app, *options)
    console.say("puts \"sees \#{Release.current}.\"")
    console.wait_for("sees v1.")
    console
  end

  it "move with the application if idle, and so does a relation that is not loaded yet" do
    idle = console
    idle.say("items = Item.where(name: 'item-1'); loaded = Item.limit(3).load; lazy = Release.order(:id).select(:version)")
    idle.say("puts \"ready \#{loaded.size}.\"")
    idle.wait_for("ready 3.")

    verdict = visited(app, generations) do
      swap(generations, 3) do |push|
        idle.say("puts \"now \#{lazy.reload.last.version}, \#{items.reload.size}, \#{Release.current}\"")
        idle.wait_for("now #{push.version}, 1, #{push.version}")
      end
    end

    expect(verdict.broken).to eq []
    # Only the result, without the input that some consoles repeat.
    idle.say("puts \"wrote \#{Item.create!(name: 'console', token: 'from-the-console').token}\"")
    idle.wait_for("wrote from-the-console")
    TestDatabase.read(app.database_path) do |db|
      expect(db.get_first_value("SELECT count(*) FROM items WHERE token = 'from-the-console'")).to eq 1
    end
  end

  it "block a push while a sandbox is open, and the refusal names its pid", :quiet do
    sandbox = console("--sandbox")
    # Only read so far: one that has written makes the whole site wait for its write lock, with or without a swap.
    sandbox.say("puts \"open: \#{ApplicationRecord.connection.transaction_open?}\"")
    sandbox.wait_for("open: true")

    refused = nil
    verdict = visited(app, generations) { refused = generations.push(version: "never") }

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(/#{HotswapCommand.named(sandbox.pid, ".*rails.*console.*")} has a transaction open on storage\/production.sqlite3.*, for at least \d/)
    expect(refused).not_to be_moved
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8

    sandbox.say("exit")
    sandbox.status
    swap(generations, 1)
    expect_all_on(app, generations.live, processes: 2)
  end

  it "block a push while a sandbox has written, but hold no reader", :quiet do
    sandbox = console("--sandbox")
    sandbox.say("puts \"wrote: \#{Item.create!(name: 'sandbox', token: 'sandbox').token}\"")
    sandbox.wait_for("wrote: sandbox")

    refused = nil
    # Only readers: a writer waits for the sandbox's write lock, with or without a swap.
    verdict = visited(app, generations, posts: 0) { refused = generations.push(version: "never") }

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(Project.linux? ? /#{HotswapCommand.named(sandbox.pid, ".*rails.*console.*")} has a transaction open on storage\/production.sqlite3.*, for at least \d/ : /is locked by a transaction\. It is open in process #{sandbox.pid}, which belongs to this application/)
    # The timeout, one attempt that is running when it ends, and some time for a busy machine.
    expect(refused.seconds).to be < 2 + 0.3 + 2
    expect(refused).not_to be_moved
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8

    sandbox.say("exit")
    sandbox.status
    TestDatabase.read(app.database_path) do |db|
      expect(db.get_first_value("SELECT count(*) FROM items WHERE token = 'sandbox'")).to eq 0
    end
    swap(generations, 1)
    expect_all_on(app, generations.live, processes: 2)
  end

  it "block a push while a script runs, and the refusal names the script", :quiet do
    script = AppProgram.runner(app, "puts Release.current; $stdout.flush; $stdin.read")
    script.wait_for("v1")

    refused = nil
    verdict = visited(app, generations) { refused = generations.push(version: "never") }

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(/process #{script.pid}\b.* for \d+\.\d s/)
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8

    push = Thread.new { generations.push }
    eventually { hotswap_workers(app).any? }
    script.finish
    expect(push.value.result).to have_attributes(exit_code: 0)
    expect_all_on(app, generations.live, processes: 2)
  end

  it "open and write the current database if they start during swaps" do
    scripts = []
    starting = Thread.new do
      6.times do |n|
        code = "item = Item.create!(name: 'cron', token: 'cron-#{n}'); " \
          "puts \"wrote \#{Item.insert!({name: 'cron', token: 'again-#{n}'}, returning: Arel.sql('token, (SELECT version FROM releases ORDER BY id DESC LIMIT 1) AS version')).to_a.first.to_json}\""
        scripts << AppProgram.runner(app, code)
        eventually(30, every: 0.1) { !scripts.last.alive? }
      end
    end
    verdict = visited(app, generations, gets: 20, posts: 10) do
      swap(generations, 1) while starting.alive?
    end

    expect(verdict.broken).to eq []
    scripts.each { |script| expect(script.status).to be_success, script.output }
    scripts.each do |script|
      written = JSON.parse(script.output[/wrote (.*)$/, 1])
      kept = generations.kept.fetch(written.fetch("version"), app.database_path)
      TestDatabase.read(kept) do |db|
        expect(db.get_first_value("SELECT count(*) FROM items WHERE token = ?", [written.fetch("token")])).to eq 1
      end
    end
  end
end
