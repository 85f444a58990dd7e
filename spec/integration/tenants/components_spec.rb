# frozen_string_literal: true

require_relative "../fleet/support/app_program"
require_relative "../fleet/support/cable_client"

# What writes to tenants besides requests: commands of Action Cable, and jobs in a process of their own.
RSpec.describe "pushes, pulls and rollbacks of one tenant", :unhurried do
  # How long each process keeps the gate of beta's database closed, in seconds.
  held = 0.8

  code = <<~RUBY
    Rails.application.config.hotswap.max_pause = 4
    Hotswap.on_disconnect { |database| sleep #{held} if database.path.include?("beta") }

    Rails.application.config.to_prepare do
      next if defined?(TokenJob)

      class ::TokenJob < ApplicationJob
        def perform(tenant, token, seconds)
          TenantRecord.with(tenant) { Note.create!(text: token) && sleep(seconds) }
          Rails.root.join("tmp/done").open("a") { |file| file.puts(token) }
        end
      end

      class ::TokenJobsController < ActionController::Base
        skip_forgery_protection
        def create = render(plain: TokenJob.perform_later(params[:id], params[:token], params[:seconds].to_f).job_id)
      end

      if defined?(ActionCable)
        class ::NotesChannel < ActionCable::Channel::Base
          def write(data) = TenantRecord.with(data["tenant"]) { Note.create!(text: data["token"]) }.then { transmit({token: data["token"]}) }
        end
      end
    end
    Rails.application.config.after_initialize { Rails.application.routes.append { post "tenants/:id/token_jobs", to: "token_jobs#create" } }
  RUBY

  let(:beta) { "storage/tenants/beta/main.sqlite3" }

  def push(note, *options) = app.hotswap("cp", *options, app.notes_file(note, note), beta)

  def done = app.root.join("tmp/done").then { |file| file.exist? ? file.readlines(chomp: true) : [] }

  # Each writes a note to the tenant, and returns when it is acknowledged.
  def by_request(tenant, token) = expect(app.post("/tenants/#{tenant}", text: token).status).to(eq(201))

  def by_job(tenant, token, seconds: 0)
    expect(app.post("/tenants/#{tenant}/token_jobs", token: token, seconds: seconds.to_s).status).to eq 200
    eventually(20, every: 0.02) { done.include?(token) }
  end

  def by_cable(client, tenant, token)
    client.perform("write", tenant: tenant, token: token)
    client.answer { |answer| answer["token"] == token }
  end

  # Writes to the tenant, one note after the other, until the queue `over` is closed. The block writes one. The value of
  # the thread is how long each note took, in seconds.
  def keep_writing(over, tenant, name)
    Thread.new do
      (0..).each_with_object({}) do |number, waits|
        break waits if over.closed?

        since, token = Eventually.now, "#{tenant} #{name} #{number}"
        yield tenant, token
        waits[token] = Eventually.now - since
        over.pop(timeout: 0.02)
      end
    end
  end

  # The open files of acme's database, in every process.
  def open_files
    Dir.glob("/proc/[0-9]*/fd/*").filter_map do |link|
      [link, File.readlink(link)]
    rescue SystemCallError
      nil # it was closed meanwhile
    end.select { |_, path| path == app.tenant_path("acme") }
  end

  # Runs the commands on beta. Writes to beta in every way after each of them, and to acme all the time.
  def expect_no_disturbance(ways)
    %w[acme beta].each { |tenant| ways.each { |name, way| way.call(tenant, "#{tenant} #{name} first") } }
    # Makes every process open both databases.
    %w[acme beta].each { |tenant| Array.new(12) { Thread.new { app.notes(tenant) } }.each(&:join) }
    before = open_files
    over = Queue.new
    writing = ways.map { |name, way| [name, keep_writing(over, "acme", name, &way)] }
    beside = keep_writing(over, "beta", "beside", &ways.first.last)
    commands(ways)
    over.close

    waits = writing.to_h { |name, thread| [name, thread.value] }
    acknowledged = waits.flat_map { |name, tokens| ["acme #{name} first", *tokens.keys] }
    written = app.notes("acme").split(",")
    expect([acknowledged - written, written.tally.reject { |_, times| times == 1 }]).to eq [[], {}]
    expect(waits.transform_values { |tokens| tokens.values.max }).to all(satisfy { |name, longest| longest < ((name == :job) ? 1.5 : 0.6) })
    expect(before - open_files).to eq []
    expect(beside.value.values.max).to be > 0.5
  end

  def commands(ways)
    expect(push("pushed")).to have_attributes(exit_code: 0)
    expect_written(ways, "pushed")
    expect(app.hotswap("cp", beta, "pulled.sqlite3")).to have_attributes(exit_code: 0)
    expect(TestDatabase.read(app.root.join("pulled.sqlite3").to_s) { |db| db.execute("SELECT text FROM notes").flatten }).to include("pushed")
    expect(push("again")).to have_attributes(exit_code: 0)
    expect_written(ways, "again")
    expect(app.hotswap("rollback", beta)).to have_attributes(exit_code: 0)
    expect_written(ways, "rolled back")
    expect(app.notes("beta")).to start_with "pushed,"
  end

  def expect_written(ways, moment)
    tokens = ways.map { |name, way| "beta #{name} #{moment}".tap { |token| way.call("beta", token) } }
    expect(app.notes("beta").split(",")).to include(*tokens)
  end

  context "beside Action Cable and a job process" do
    running_app(Tenants, workers: 2, initializer: code) do |server|
      application = server.root.join("config/application.rb").read
      server.write("config/application.rb", application.sub(/(?=Bundler.require)/, %(require "action_cable/engine"\n\n)))
      server.write("config/cable.yml", "production:\n  adapter: async\n")
      server.write("config/initializers/cable.rb", "Rails.application.config.action_cable.disable_request_forgery_protection = true\n")
    end

    before do
      @clients = Array.new(3) { CableClient.new(app.port, "NotesChannel") }
      AppProgram.new(app, *Project::RUBY, "bin/jobs")
    end

    after { @clients.each(&:close) }

    it "disturb no command, no job and no request of another tenant, and lose nothing" do
      cable = ->(tenant, token) { by_cable(@clients[(tenant == "acme") ? 0 : 1], tenant, token) }
      expect_no_disturbance(cable: cable, job: method(:by_job), request: method(:by_request))
      expect(@clients).to all(be_connected)
      expect(done.tally.values.uniq).to eq [1]
    end

    it "wait for a job of this tenant in the job process, and for no job of another" do
      %w[acme beta].each { |tenant| by_job(tenant, "awake in #{tenant}") }
      job = Thread.new { by_job("acme", "long of acme", seconds: 6) }
      eventually { app.notes("acme").include?("long of acme") }
      expect(push("beside")).to have_attributes(exit_code: 0)
      expect(job).to be_alive
      job.join
      job = Thread.new { by_job("beta", "long of beta", seconds: 6) }
      eventually { app.notes("beta").include?("long of beta") }
      expect(push("late", "--timeout", "1")).to have_attributes(exit_code: 4, stderr: /job TokenJob for \d+\.\d s/)
      job.join
      expect(app.notes("beta")).to eq "beside,long of beta"
    end
  end

  context "on Falcon", :thorough, lane: "components" do
    falcon = Class.new(Tenants) do
      private

      def command = ["bundle", "exec", "falcon", "serve", "--bind", "http://127.0.0.1:#{port}", "--count", "2"]
    end
    running_app(falcon, initializer: code) { |server| server.write("config/initializers/falcon.rb", 'require "falcon"') }

    it "disturb no request of another tenant, and lose nothing" do
      expect_no_disturbance(request: method(:by_request))
    end
  end
end
