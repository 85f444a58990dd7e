# frozen_string_literal: true

require_relative "../../../demo/visitors"

RSpec.describe "a push to a busy application", :unhurried do
  # The spec controls the application through files, because every other way into the process passes the gate.
  running_app(initializer: <<~RUBY) do |app|
    Rails.application.config.hotswap.timeout = 2

    Rails.application.config.after_initialize do
      wanted, held = %w[tmp/lock-wanted tmp/lock-held].map { |path| Rails.root.join(path) }
      Thread.new do
        loop do
          sleep 0.01 until wanted.exist?
          Hotswap::Middleware::SWAP_LOCK.synchronize do
            held.write("")
            sleep 0.01 while wanted.exist?
          end
          held.delete
        end
      end
    end
  RUBY
    app.write("app/controllers/imports_controller.rb", <<~RUBY)
      class ImportsController < ApplicationController
        include ActionController::Live

        # Goes on when its visitor has left, and is one transaction.
        def show
          response.stream.ignore_disconnect = true
          Item.transaction do
            Item.create!(name: "import", token: "first half")
            response.stream.write("begun\\n")
            until Rails.root.join("tmp/import-may-end").exist?
              response.stream.write("importing\\n")
              logger.info("the visitor of /import left") unless response.stream.connected?
              sleep 0.01
            end
            Item.create!(name: "import", token: "second half")
          end
        ensure
          response.stream.close
        end
      end
    RUBY
    routes = app.root.join("config/routes.rb")
    routes.write(routes.read.sub(/^end/, "  get \"import\", to: \"imports#show\"\nend"))
  end

  def push(version) = app.hotswap("cp", app.databases.release(version), app.database_path)

  def file = File.stat(app.database_path).then { |stat| [stat.ino, TestDatabase.version(app.database_path)] }

  def begun(path)
    Thread.new { app.get(path) }.tap { eventually { app.log.include?(%(Started GET "#{path}")) } }
  end

  it "gives up at the timeout, names what was running, and has held no request", :quiet do
    before = file
    visitors = Visitors.spawn(port: app.port, gets_per_second: 30, posts_per_second: 0)
    slow = begun("/slow?t=6")
    pushed = push("too late")
    report = visitors.finish

    expect(pushed).to have_attributes(exit_code: 4, stdout: "")
    expect(pushed.stderr).to match(/^ERROR: gave up after 2\.0 s: the application was still busy\. Nothing was swapped\. In the way:$/)
    expect(pushed.stderr).to match(%r{^- #{HotswapCommand.named(app.pid, "puma .*")}: GET /slow for [234]\.\d s$})
    expect(pushed.stderr).to include("--timeout SECONDS (it was 2.0 s), or with config.hotswap.timeout")
    expect(pushed.stderr).not_to include("pause")
    expect(file).to eq before
    expect(report.failure_counts).to be_empty
    expect(report.max_latency).to be < 0.5 + 1

    expect(slow.value.json["version"]).to eq before.last
    expect(push("in time")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "in time"
  end

  it "waits for an ActionController::Live action whose visitor has left" do
    Streams.read_and_leave(app.port, "/import", until_it_says: "begun")
    eventually { app.log.include?("the visitor of /import left") }
    pushed = push("too early")

    expect(pushed).to have_attributes(exit_code: 4)
    # In place, the worker meets the action's transaction before it asks the fleet.
    transaction = /is locked by a transaction\. It is open in process #{app.pid}, which belongs to this application/
    expect(pushed.stderr).to match(Project.linux? ? %r{#{HotswapCommand.named(app.pid, "puma .*")}: .*GET /import for \d} : transaction)

    app.write("tmp/import-may-end", "")
    pulled = eventually { whole_import }
    expect(pulled).to eq ["first half", "second half"]
    expect(push("after the import")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "after the import"
  end

  it "waits for Hotswap::Middleware::SWAP_LOCK, as requests do" do
    before = file
    app.write("tmp/lock-wanted", "")
    eventually { app.root.join("tmp/lock-held").exist? }
    request = Thread.new { app.get("/version") }
    eventually { app.log.include?("request queued, waiting for swap to complete: GET /version") }
    pushed = push("locked out")

    expect(pushed).to have_attributes(exit_code: 4, stdout: "")
    expect(pushed.stderr).to match(/#{HotswapCommand.named(app.pid, "puma .*")} holds Hotswap::Middleware::SWAP_LOCK/)
    expect(file).to eq before
    expect(request).to be_alive

    app.root.join("tmp/lock-wanted").delete
    expect(request.value).to have_attributes(status: 200)
    expect(app.log).to include("swap complete, resuming request: GET /version")
    expect(push("unlocked")).to have_attributes(exit_code: 0)
  end

  def whole_import
    found = TestDatabase.read(app.database_path) { |db| db.execute("SELECT token FROM items WHERE name = 'import' ORDER BY id") }
    found.flatten if found.size == 2
  end
end
