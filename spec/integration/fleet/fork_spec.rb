# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "forks by the application", :fleet do
  let(:settings) { "Rails.application.config.hotswap.timeout = 2; Rails.application.config.hotswap.max_pause = 0.3" }
  let(:generations) { Generations.new(app) }

  # A request that forks as ?how= says, and then continues to use its connection.
  def with_forks(server)
    server.write("config/initializers/forks.rb", <<~RUBY)
      class ForksController < ActionController::Base
        skip_forgery_protection
        def create
          connection = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
          before = Item.count
          child = nil
          case params[:how]
          when "fork" then child = fork { sleep }
          when "fork and query" then child = fork { File.write("tmp/child", Item.count.to_s); sleep }
          when "transaction" then Item.transaction { Item.count; child = fork { sleep } }
          when "spawn" then child = spawn("sleep", "600")
          when "fork and exec" then child = fork { exec("sleep", "600") }
          end
          render json: {child: child, same: connection.select_value("SELECT count(*) FROM items") == before}
        end
      end
      Rails.application.config.after_initialize { Rails.application.routes.append { post "forks", to: "forks#create" } }
    RUBY
  end

  def forked(how) = app.post("/forks", how: how).json.tap { |answer| expect(answer.fetch("same")).to be true }.fetch("child")

  context "when requests fork" do
    let(:app) { boot_app(workers: 2, initializer: settings) { |server| with_forks(server) } }

    ["fork", "fork and query", "spawn", "fork and exec"].each do |how|
      it "do not block a swap: #{how}" do
        expect_all_on(app, "v1", processes: 2)
        child = forked(how)
        eventually { app.root.join("tmp/child").exist? } if how == "fork and query"

        swap(generations, 2)

        expect_all_on(app, generations.live, processes: 2)
        expect(File.exist?("/proc/#{child}")).to be true
        Process.kill(:KILL, child)
      end
    end

    it "during a transaction are named if the child keeps the file open", :linux do
      child = forked("transaction")
      refused = generations.push("--in-place=never", version: "never")
      if refused.ok? # the sqlite3 gem has closed it in the child
        expect(SQLite3.const_defined?(:ForkSafety)).to be true
        next Process.kill(:KILL, child)
      end

      expect(refused.result).to have_attributes(exit_code: 4)
      expect(refused.result.stderr).to include("process #{child} (")
      Process.kill(:KILL, child)
      eventually { generations.push.ok? }
    end
  end

  # database.yml has relative paths. Before version 2.1, the sqlite3 gem does not close what a child inherits.
  it "leave no connection to the child when the working directory is not the application's root" do
    said = RailsApp.in_a_folder do |folder|
      folder.write("fork.rb", <<~'RUBY')
        connection = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
        count = -> { connection.select_value("SELECT count(*) FROM items") }
        before = count.call
        Dir.chdir("/")
        files = -> { Dir.glob("/proc/self/fd/*").filter_map { |fd| File.readlink(fd) if File.symlink?(fd) }.grep(/\.sqlite3(-wal)?\z/) }
        $stdout.sync = true
        puts "the parent has #{files.call.size} files open"
        Process.wait(fork { puts "the child has #{files.call.size} files open" })
        puts "the parent counts the same: #{count.call == before}"
      RUBY
      folder.run(*Project::RUBY, "-r", "./config/environment", "fork.rb")
    end

    expect(said).to match(/the parent has [1-9]\d* files open/)
    expect(said).to include("the child has 0 files open", "the parent counts the same: true")
  end

  context "when Puma forks its workers from a master that has queried the database" do
    let(:app) do
      boot_app(workers: 2, initializer: settings) do |server|
        server.write("config/initializers/zz_queries.rb", <<~RUBY)
          Rails.application.config.after_initialize do
            puts "the master counted \#{Item.connection.select_value("SELECT count(*) FROM items")} items"
          end
        RUBY
      end
    end

    it "a swap still moves every worker" do
      expect_all_on(app, "v1", processes: 2)
      expect(app.log).to include("the master counted")

      verdict = visited(app, generations) { swap(generations, 3) }

      expect(verdict.broken).to eq []
      expect_all_on(app, generations.live, processes: 2)
    end
  end

  context "when a push changes the schema before a worker has opened the database" do
    let(:app) do
      boot_app(workers: 3) do |server|
        server.write("config/initializers/zz_columns.rb", <<~RUBY)
          class ColumnsController < ActionController::Base
            def show = render(json: {pid: Process.pid, columns: Item.where(id: 1).first.attributes.keys})
          end
          Rails.application.config.after_initialize do
            Rails.application.routes.append { get "columns", to: "columns#show" }
            Item.new
          end
          Hotswap.after_swap { Rails.root.join("tmp/swapped").open("a") { |file| file.puts(Process.pid) } }
        RUBY
      end
    end

    it "the worker forgets the columns that its master had cached, and runs after_swap" do
      expect(worker_pids(app) - member_pids(app)).not_to eq []
      file = app.databases.changed("priced.sqlite3", version: "priced") { |db| db.execute("ALTER TABLE items ADD COLUMN price INTEGER") }
      expect(generations.push("--skip-schema-check", file: file, version: "priced").result).to be_success

      columns = {}
      eventually do
        answer = app.get("/columns").json
        columns[answer["pid"]] = answer["columns"]
        columns.size == 3 && columns.values.all? { |names| names.include?("price") }
      end
      eventually { (app.root.join("tmp/swapped").readlines.map(&:to_i) & columns.keys).size == 3 }
    end
  end

  # The other threads of a process may fork at any time, as Puma's master does if a worker has died.
  {"forgets the schema" => "Item.singleton_class.prepend(ForksMeanwhile)",
   "runs after_swap" => "Hotswap.after_swap { Forking.once }"}.each do |moment, hook|
    context "when a thread forks while the process #{moment}" do
      let(:app) do
        boot_app(workers: 0) do |server|
          server.write("config/initializers/zz_forks_meanwhile.rb", <<~RUBY)
            module Forking
              ASKED, FORKED = Queue.new, Queue.new

              # Not a thread that the block starts: that one would fork in the name of the block.
              def self.prepare = Thread.new { ASKED.pop && fork { tell } && FORKED << true }

              def self.once
                return if @asked || Thread.current.name == "main"

                @asked = true
                ASKED << true
                FORKED.pop
              end

              def self.tell
                deadline = Time.now + 20
                columns = []
                columns = Item.where(id: 1).first.attributes.keys until columns.include?("price") || Time.now > deadline
                Rails.root.join("tmp/child.new").write({pid: Process.pid, columns: columns}.to_json)
                File.rename(Rails.root.join("tmp/child.new"), Rails.root.join("tmp/child"))
                sleep
              end
            end

            module ForksMeanwhile
              def undefine_attribute_methods
                Forking.once if Thread.current.name == "hotswap"
                super
              end
            end

            Rails.application.config.after_initialize do
              Item.new
              Forking.prepare
              #{hook}
              Hotswap.after_swap { Rails.root.join("tmp/swapped").open("a") { |file| file.puts(Process.pid) } }
            end
          RUBY
        end
      end

      it "the child forgets the old columns, and runs after_swap" do
        expect(app.get("/version").json.fetch("version")).to eq "v1"
        file = app.databases.changed("priced.sqlite3", version: "priced") { |db| db.execute("ALTER TABLE items ADD COLUMN price INTEGER") }
        expect(generations.push("--skip-schema-check", file: file, version: "priced").result).to be_success

        eventually(25) { app.root.join("tmp/child").exist? }
        child = JSON.parse(app.root.join("tmp/child").read)
        expect(child["columns"]).to include "price"
        eventually { app.root.join("tmp/swapped").readlines.map(&:to_i).include?(child["pid"]) }
        Process.kill(:KILL, child["pid"])
      end
    end
  end

  {"itself" => "fork { work }", "in a thread" => "Thread.new { fork { work } }.join"}.each do |how, forks|
    context "when a block of after_swap forks #{how}" do
      let(:app) do
        boot_app(workers: 0) do |server|
          server.write("config/initializers/zz_block_forks.rb", <<~RUBY)
            # The child works until the spec ends.
            def work
              Rails.root.join("tmp/workers").open("a") { |file| file.puts(Process.pid) }
              Item.count && sleep(0.05) until Rails.root.join("tmp/over").exist?
            ensure
              exit!
            end

            Hotswap.after_swap do
              runs = Rails.root.join("tmp/swapped")
              runs.open("a") { |file| file.puts(Process.pid) }
              next if runs.readlines.size > 6

              #{forks}
            end
          RUBY
        end
      end

      def runs = app.root.join("tmp/swapped").then { |file| file.exist? ? file.readlines.tally.values.sort : [] }

      it "the child runs the block after later swaps, and not after the same one" do
        expect(app.get("/version").json.fetch("version")).to eq "v1"
        expect(generations.push.result).to be_success
        eventually { runs == [1] }
        sleep 1
        expect(runs).to eq [1]

        expect(generations.push("--timeout", "10").result).to be_success
        eventually { runs == [1, 2] }
        sleep 1
        expect(runs).to eq [1, 2]
      ensure
        app.write("tmp/over", "")
        workers = app.root.join("tmp/workers").readlines(chomp: true)
        eventually { workers.none? { |pid| ServerProcess.command_line(pid).include?("puma") } }
      end
    end
  end
end
