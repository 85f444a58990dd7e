# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "a thread that keeps a connection outside any request", :fleet do
  let(:app) { boot_app(initializer: "Rails.application.config.hotswap.timeout = 2; Rails.application.config.hotswap.max_pause = 0.3") }
  let(:generations) { Generations.new(app) }

  # A script (not of the runner, whose executor is a request of its own) with a thread that does what it is told, on the connection that it has had from the beginning.
  def keeper
    app.write("keeper.rb", <<~'RUBY')
      $stdout.sync = true
      connection = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
      read = -> { connection.select_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }
      puts "read #{read.call}."
      while (line = $stdin.gets)
        case line.chomp
        when "read" then puts "read #{read.call}."
        when "write" then (connection.execute("INSERT INTO items (name, token) VALUES ('kept', 'kept-#{read.call}')"); puts "written")
        when "begin" then (connection.begin_db_transaction; puts "begun #{read.call}.")
        when "commit" then (connection.commit_db_transaction; puts "committed")
        end
      end
    RUBY
    AppProgram.new(app, *Project::RUBY, "-r", "./config/environment", "keeper.rb")
      .tap { |program| program.wait_for("read v1.") }
  end

  it "moves while it is idle, and continues on the new database" do
    kept = keeper

    verdict = visited(app, generations) do
      swap(generations, 3) do |push|
        kept.say("read")
        kept.wait_for("read #{push.version}.")
      end
    end
    kept.say("write")
    kept.wait_for("written")

    expect(verdict.broken).to eq []
    TestDatabase.read(app.database_path) do |db|
      expect(db.get_first_value("SELECT count(*) FROM items WHERE token = 'kept-#{generations.live}'")).to eq 1
    end
  end

  it "blocks a push, by name, during a transaction that Active Record does not know" do
    kept = keeper
    kept.say("begin")
    kept.wait_for("begun v1.")

    refused = generations.push(version: "never")
    expect(refused.result).to have_attributes(exit_code: 4)
    expect(refused.result.stderr).to match(/#{HotswapCommand.named(kept.pid, ".*ruby.*")} has a transaction open on \S+ in (the main thread|a thread .+), outside of any request or job, for at least/)

    kept.say("commit")
    kept.wait_for("committed")
    swap(generations, 1)
  end

  # A hundred times what a swap does to a process, with a thread that queries all the time and that gives way to
  # other threads after each row.
  it "is never closed in the middle of a query" do
    said = RailsApp.in_a_folder do |folder|
      folder.write("busy.rb", <<~'RUBY')
        troubles = []
        queries = closed = 0
        connection = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
        connection.select_value("SELECT 1")
        Thread.new do
          own = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
          TracePoint.new(:c_return) { |call| sleep(rand * 0.0002) if call.method_id == :step }.enable(target_thread: Thread.current)
          loop do
            rows = own.select_rows("SELECT name FROM items ORDER BY id LIMIT 20")
            troubles << "#{rows.size} rows" unless rows.size == 20
            queries += 1
            sleep rand * 0.005
          rescue => error
            troubles << error.message
          end
        end
        sleep 0.01 until queries > 0
        100.times do
          sleep 0.001 until Hotswap::Native.close_gate
          sleep 0.001 until Hotswap::Native.try_seal_gate
          begin
            Hotswap.runtime.connections.disconnect(Hotswap.databases.first, 1)
            closed += 1
          rescue Hotswap::DisconnectRefused => error
            troubles << error.message
          ensure
            Hotswap::Native.reopen_gate
          end
          sleep rand * 0.005
        end
        puts "closed #{closed}, queried #{queries}, troubles #{troubles.tally}"
      RUBY
      folder.run(*Project::RUBY, "-r", "./config/environment", "busy.rb")
    end

    expect(said).to match(/closed 100, queried [1-9]\d+, troubles \{\}/)
  end
end
