# frozen_string_literal: true

require_relative "support/job_notes"

# Quiet, because requests may wait for only 0.3 s.
RSpec.describe "Solid Queue", :fleet, :quiet, lane: "rails_8_1" do
  settings = <<~RUBY
    Rails.application.config.hotswap.max_pause = 0.3
    SolidQueue.process_heartbeat_interval = 0.3

    Rails.application.config.to_prepare do
      next if defined?(PatientJob)

      class ::PatientJob < ItemJob
        def perform(token)
          File.write("tmp/begun", token)
          sleep 0.02 until File.exist?("tmp/woken")
          super
        end
      end

      class ::PatientJobsController < ApplicationController
        def create = render(plain: PatientJob.perform_later(params.require(:token)).job_id)
      end
    end
    Rails.application.config.after_initialize { Rails.application.routes.append { post "patient_jobs", to: "patient_jobs#create" } }
  RUBY

  # One server for all examples of a group, and so one history of its databases.
  define_singleton_method(:running_jobs) do |**options, &block|
    running_app(workers: 2, initializer: settings, **options, &block)
    before(:context) do
      @generations = Generations.new(app)
      @notes = JobNotes.new(app)
    end
  end

  attr_reader :generations, :notes

  # As many as there should be, each with its name, its pid and its row: [["Supervisor(fork)", 4711, 1], ...].
  def registered
    eventually(20) { notes.processes.then { |rows| rows if rows.map { |row| row.kind[/\w+/] }.sort == %w[Dispatcher Supervisor Worker] } }
      .map { |row| [row.kind, row.pid, row.id] }
  end

  # Jobs come in while the block runs. Returns their tokens when all of them were done.
  def jobs_meanwhile(&block)
    done = notes.tokens
    visitors = Visitors.spawn(port: app.port, gets_per_second: 40, posts_per_second: 30, post_path: "/jobs")
    block.call
    report = visitors.finish
    visitors = nil
    expect(report.failures.map(&:failure)).to eq []
    eventually(20, every: 0.1) { (notes.tokens - done).size >= report.count_of("post") }
    notes.tokens - done
  ensure
    visitors&.dismiss
  end

  def run_a_job(token)
    expect(app.post("/jobs", token: token).status).to eq 201
    eventually(10) { notes.tokens.include?(token) }
  end

  def copy(database)
    file = app.databases.folder.join("#{database}.sqlite3").to_s
    expect(app.hotswap("cp", "storage/production-#{database}.sqlite3", file)).to be_success
    file
  end

  def put_back(file, database)
    pushed = app.hotswap("cp", file, "storage/production-#{database}.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
  end

  # Only the lines since the example began: an earlier example may have ended a worker.
  def said = log.read.byteslice(@said_before..).scrub

  before { @said_before = log.size }

  def expect_no_process_died(before)
    swapped = Time.now.utc.strftime("%F %T.%6N")
    eventually(10, every: 0.1) { notes.processes.all? { |row| row.last_heartbeat_at > swapped } }
    expect(registered).to eq before
    expect(said).not_to match(/Error in thread|SolidQueue-\S+ Replaced/i)
  end

  shared_examples "jobs that move with the application" do
    it "continue through swaps of their database and of others" do
      run_a_job("first")
      before = registered
      cache = copy("cache")

      tokens = jobs_meanwhile do
        swap(generations, 4)
        2.times { put_back(cache, "cache") }
        swap(generations, 1)
      end

      expect(tokens.tally.select { |_, times| times > 1 }).to eq({})
      expect(notes.verdict(generations).broken).to eq []
      run_a_job("last")
      expect(notes.all.last).to include("version" => generations.live)
      expect_no_process_died(before)
    end

    it "continue if their queue's database is swapped for a copy" do
      run_a_job("before the queue is swapped")
      before = registered

      2.times { put_back(copy("queue"), "queue") }

      run_a_job("after the queue was swapped")
      expect(notes.tokens.tally.values.uniq).to eq [1]
      expect_no_process_died(before)
    end

    it "have a long job named by the refused push, and no other job waits for it" do
      # In a process that has not opened the database yet, it would not block the push.
      run_a_job("before the patient one")
      before = registered
      app.post("/patient_jobs", token: "patient")
      eventually { app.root.join("tmp/begun").exist? }

      refused = nil
      verdict = visited(app, generations) { refused = generations.push("--timeout", "4", version: "never") }
      # Before anything can fail: the job would be in the way of every other example.
      app.write("tmp/woken", "")

      expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
      expect(refused.result.stderr).to match(/process #{before.find { |kind,| kind == "Worker" }[1]} .*job PatientJob for \d+\.\d s/)
      expect(refused).not_to be_moved
      expect(verdict.broken).to eq []
      # If requests waited for the job, they would wait for as long as the push.
      expect(verdict.longest_wait).to be < 2

      eventually { notes.tokens.include?("patient") }
      swap(generations, 1)
      expect(notes.verdict(generations).broken).to eq []
      expect_no_process_died(before)
    end
  end

  context "as a plugin of Puma" do
    running_jobs(env: {"SOLID_QUEUE_IN_PUMA" => "1"})

    def log = app.root.join("log/server.log")

    it_behaves_like "jobs that move with the application"

    it "keeps the leader's sockets when one of its processes ends" do
      sockets = [app.socket_path, app.stderr_socket_path]
      before = sockets.map { |path| File.stat(path).ino }
      worker = registered.find { |kind,| kind == "Worker" }[1]
      run_a_job("in the worker that ends")

      Process.kill(:TERM, worker)
      eventually(10) { registered.find { |kind,| kind == "Worker" }[1] != worker }

      expect(sockets.map { |path| File.stat(path).ino }).to eq before
      swap(generations, 1)
      run_a_job("in the worker that follows")
      expect(notes.all.last).to include("version" => generations.live)
    end
  end

  context "as bin/jobs, in its own process", order: :defined do
    running_jobs

    before(:context) do
      @jobs = ServerProcess.start(DemoApp.environment, *Project::RUBY, "bin/jobs",
        chdir: app.root.to_s, output: app.root.join("log/jobs.log"))
    end
    after(:context) { @jobs&.stop }

    def log = @jobs.output

    it_behaves_like "jobs that move with the application"

    # The last one here: Solid Queue's supervisor itself stays without a row until it is started anew.
    context "whose database is swapped for one without its processes" do
      it "replaces its workers, which register and continue" do
        run_a_job("before the new queue")
        before = registered.map { |_, pid, _| pid }
        file = copy("queue")
        SQLite3::Database.new(file) { |db| db.execute("DELETE FROM solid_queue_processes") }

        put_back(file, "queue")

        after = eventually(15) { notes.processes.then { |rows| rows if rows.map(&:kind).sort == %w[Dispatcher Worker] } }
        expect(after.map(&:pid) & before).to eq []
        run_a_job("after the new queue")
        swap(generations, 1)
        run_a_job("on the new database")
        expect(notes.verdict(generations).broken).to eq []
        expect(notes.tokens.tally.values.uniq).to eq [1]
        expect(@jobs).to be_alive
      end
    end
  end

  context "inside Puma, in threads" do
    running_jobs(env: {"SOLID_QUEUE_IN_PUMA" => "1"}) do |server|
      server.write("config/puma.rb", "#{server.root.join("config/puma.rb").read}\nsolid_queue_mode :async\n")
    end

    def log = app.root.join("log/server.log")

    it_behaves_like "jobs that move with the application"
  end
end
