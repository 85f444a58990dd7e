# frozen_string_literal: true

RSpec.describe "events", lane: "default" do
  running_app(initializer: <<~RUBY)
    Rails.application.config.hotswap.on_event do |name, payload|
      Rails.logger.info("told \#{name} \#{payload.slice(:event, :command, :from, :exit_status, :way).to_json} \#{payload[:database]&.name} \#{payload[:held_ms].class}")
      raise "a subscriber of its own" if name == "pull.hotswap"
    end
    %w[push swap pull rollback refused].each do |name|
      ActiveSupport::Notifications.subscribe("\#{name}.hotswap") { |event| Rails.logger.info("notified \#{event.name} \#{event.payload[:database].name}") }
    end
    Hotswap.before_swap { |database| Rails.logger.info("before the swap of \#{database.name}, version \#{Release.order(:id).last.version}") }
    Hotswap.before_swap { raise "not ready" }
    Hotswap.before_swap { sleep 3 if File.exist?("slow") }
  RUBY

  let(:live) { app.database_path }

  before { app.version }

  # What the log says about a command, when it has said what it must.
  def logged(*arguments, **options)
    before = app.log.length
    result = app.hotswap(*arguments, **options)
    [result, ->(text) { eventually { app.log[before..].include?(text) } && app.log[before..] }]
  end

  it "tell subscribers and blocks about a push, a pull, a rollback and a refusal" do
    file = app.databases.release("v2")
    _, log = logged("cp", file, live)
    expect(log.call("told push.hotswap")).to include(%(told push.hotswap {"event":"push","command":"push","from":"#{file}","way":"#{HotswapCommand::BY}"} primary Float))
    log.call("notified push.hotswap primary")
    log.call("notified swap.hotswap primary")
    log.call("told swap.hotswap {} primary Float")

    _, log = logged("rollback", "primary")
    log.call("notified rollback.hotswap primary")

    _, log = logged("cp", app.databases.garbage, live)
    log.call("notified refused.hotswap primary")
    expect(log.call("told refused.hotswap")).to match(/told refused.hotswap \{"event":"refused","command":"push","from":".*","exit_status":3\}/)

    _, log = logged("cp", "queue", "pulled.sqlite3")
    log.call("notified pull.hotswap queue")
    log.call("a subscriber of pull.hotswap failed: a subscriber of its own (RuntimeError) at ")
  end

  it "before_swap runs on the old database, before the requests wait, and its exception stops nothing" do
    old = app.version
    result, log = logged("cp", app.databases.release("v3"), live)
    expect(result).to have_attributes(exit_code: 0)
    text = log.call("push complete")
    expect(text).to include("before the swap of primary, version #{old}", "before_swap of storage/production.sqlite3 failed: not ready (RuntimeError) at ")
    expect(text.index("before the swap of primary")).to be < text.index("requests are queued")
  end

  it "before_swap delays a swap by a second at most" do
    FileUtils.touch(app.root.join("slow"))
    began = Eventually.now
    expect(app.hotswap("cp", app.databases.release("v4"), live)).to have_attributes(exit_code: 0)
    expect(Eventually.now - began).to be_between(1, 3.5)
  ensure
    FileUtils.rm_f(app.root.join("slow"))
  end

  it "Hotswap.metrics has counters and gauges of every database, as OpenMetrics" do
    app.hotswap("cp", app.databases.release("v5"), live)
    text = app.runner("2.times { print Hotswap.metrics }")
    expect(text).to match(/^hotswap_commands_total\{database="storage\/production\.sqlite3",event="push"\} [1-9]\d*$/)
    expect(text).to match(/^hotswap_held_seconds_total\{database="storage\/production\.sqlite3"\} \d+\.\d+$/)
    expect(text).to match(/^hotswap_database_bytes\{database="storage\/production-queue\.sqlite3"\} [1-9]\d*$/)
    expect(text.scan(/^hotswap_commands_total.*$/).tally.values.uniq).to eq [2]
    expect(text.scan(/^# EOF$/).size).to eq 2
    expect(text).to end_with("# EOF\n")
  end
end
