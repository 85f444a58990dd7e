# frozen_string_literal: true

# An application that keeps only a few pools open, as activerecord-tenanted does with max_connection_pools.
RSpec.describe "a process that has closed the pool of a tenant" do
  running_app(Tenants, workers: 0, initializer: <<~RUBY)
    # As in a busy application: it closes the connection of a thread that has leased it while its pool was removed.
    Thread.new { loop { sleep(0.3) && GC.start } }
    Hotswap.after_swap { |database| Rails.root.join("tmp/moved").open("a") { |file| file.puts(database.path) } }

    # Models that belong to the primary database unless a tenant is named. Their pool is removed after each request.
    Rails.application.config.after_initialize do
      class MemoRecord < ActiveRecord::Base
        self.abstract_class = true
        connects_to shards: {default: {writing: :primary}}

        def self.in_tenant(path, &block)
          config = ActiveRecord::DatabaseConfigurations::HashConfig.new(Rails.env, "memos", {adapter: "sqlite3", database: path, timeout: 5000})
          connected_to(shard: :tenant, role: :writing) { establish_connection(config) && block.call }
        ensure
          connection_handler.remove_connection_pool(connection_specification_name, role: :writing, shard: :tenant)
        end
      end
      class Memo < MemoRecord
        self.table_name = "notes"
      end
      class MemosController < ActionController::Base
        def show = render(json: MemoRecord.in_tenant(params[:path]) { Memo.count && Memo.new.attributes.keys })
      end
      Rails.application.routes.append { get "memos", to: "memos#show" }
    end
  RUBY

  # Tenants keeps three pools.
  def open_others(number = 3) = Array.new(number) { |other| app.notes("other#{other}") }

  def descriptors = Dir.children("/proc/#{app.pid}/fd").filter_map { |fd| there { File.readlink("/proc/#{app.pid}/fd/#{fd}") } }

  def fences = descriptors.grep(/tenants.*\.hotswap\z/)

  def watches = Dir["/proc/#{app.pid}/fdinfo/*"].sum { |file| there { File.readlines(file).grep(/\Ainotify /).size } || 0 }

  # A descriptor may be closed meanwhile.
  def there
    yield
  rescue Errno::ENOENT
    nil
  end

  before do
    paths = Array.new(30) { |other| app.tenant_path("other#{other}") }
    # The application has some of them open.
    paths.each_with_index { |path, other| Tenants.make(path, "of #{other}") unless File.exist?(path) }
    open_others
    eventually { fences.size == 3 }
  end

  it "keeps no descriptor and no watch of it" do
    before = [descriptors.grep(/tenants/).size, watches]
    open_others(30)
    open_others
    eventually { fences.size == 3 }
    eventually { [descriptors.grep(/tenants/).size, watches] == before }
    expect(fences.map { |fence| fence[/other\d+/] }.sort).to eq %w[other0 other1 other2]
  end

  it "is not needed for a push, opens the new database later, and runs after_swap then" do
    Tenants.make(app.tenant_path("away"), "of away")
    expect(app.notes("away")).to eq "of away"
    open_others
    eventually { fences.none? { |fence| fence.include?("away") } }
    status = JSON.parse(app.hotswap("status", "--json", "storage/tenants/away/main.sqlite3").stdout)
    expect(status.dig("databases", 0, "processes")).to eq []

    pushed = app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/away/main.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    expect(app.notes("away")).to eq "pushed"
    eventually { app.root.join("tmp/moved").exist? && app.root.join("tmp/moved").read.include?(app.tenant_path("away")) }
    back = app.hotswap("rollback", "storage/tenants/away/main.sqlite3")
    expect(back).to have_attributes(exit_code: 0), back.stderr
    expect(app.notes("away")).to eq "of away"
  end

  it "has its children run after_swap, each for itself, until it opens the database again" do
    Tenants.make(app.tenant_path("away"), "of away")
    expect(app.notes("away")).to eq "of away"
    open_others
    eventually { fences.none? { |fence| fence.include?("away") } }
    child = -> { app.get("/tenants/away/child").body }
    expect(child.call).to eq "of away nil"

    expect(app.hotswap("cp", app.notes_file("new", "pushed"), "storage/tenants/away/main.sqlite3")).to have_attributes(exit_code: 0)
    expect(Array.new(2) { child.call }).to eq ["pushed true"] * 2
    expect(app.notes("away")).to eq "pushed"
    eventually { child.call == "pushed nil" }
  end

  context "when a push changes the schema" do
    def columns = app.get("/tenants/away/columns").json

    # Pushes a database with one more column.
    def push_wider
      SQLite3::Database.new(file = app.notes_file("wider", "wider")) { |db| db.execute("ALTER TABLE notes ADD COLUMN author TEXT") }
      pushed = app.hotswap("cp", "--skip-schema-check", file, "storage/tenants/away/main.sqlite3")
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    end

    def close_away
      open_others
      eventually { fences.none? { |fence| fence.include?("away") } }
    end

    before do
      Tenants.make(app.tenant_path("away"), "of away")
      expect([app.notes("away"), columns]).to eq ["of away", %w[id text]]
    end

    # All tenants share the class, and the other examples write to tenants without that column.
    after do
      app.hotswap("cp", "--skip-schema-check", app.notes_file("new", "as before"), "storage/tenants/away/main.sqlite3")
      eventually { columns == %w[id text] }
    end

    it "learns of it when it opens the database again" do
      close_away
      push_wider
      expect(app.get("/tenants/other0/columns").json).to eq %w[id text]
      expect(app.notes("away")).to eq "wider"
      eventually { columns == %w[id text author] }
    end

    it "learns of it even if it closes the pool again before it could forget the old schema" do
      close_away
      push_wider
      # While this request runs, the process cannot forget the schema.
      slow = Thread.new { app.get("/tenants/other2/twice?way=in_unit&seconds=3").status }
      eventually { app.log.include?("/tenants/other2/twice") }
      expect(app.notes("away")).to eq "wider"
      close_away
      expect(columns).to eq %w[id text]
      close_away
      expect(slow.value).to eq 200
      eventually { columns == %w[id text author] }
    end

    it "learns of it for a model that belongs to another database by default" do
      memo_columns = -> { app.get("/memos?path=#{app.tenant_path("away")}").json }
      close_away
      expect(memo_columns.call).to eq %w[id text]
      eventually { fences.none? { |fence| fence.include?("away") } }
      push_wider
      eventually { memo_columns.call == %w[id text author] }
    end

    it "learns of it even if it has a connection left but no pool" do
      app.get("/tenants/away/kept")
      open_others
      # Opens the connection again.
      expect(app.get("/tenants/away/kept").body).to eq "of away"
      push_wider
      expect(columns).to eq %w[id text author]
      expect(app.get("/tenants/away/kept?drop=1").body).to eq "wider"
    end
  end

  it "does not stop a push with a connection that the application keeps, and closes it when it is dropped" do
    Tenants.make(app.tenant_path("kept"), "of kept")
    expect(Array.new(2) { app.get("/tenants/kept/kept").body }).to eq ["of kept"] * 2
    open_others
    expect(app.get("/tenants/kept/kept").body).to eq "of kept"
    3.times do |number|
      pushed = app.hotswap("cp", "--json", "--timeout", "5", app.notes_file("new", "push #{number}"), "storage/tenants/kept/main.sqlite3")
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
      expect(JSON.parse(pushed.stdout)).to include("way" => HotswapCommand::BY)
      expect(app.get("/tenants/kept/kept").body).to eq "push #{number}"
    end
    # With prepared statements, and without a close.
    expect(app.get("/tenants/kept/kept?drop=1").status).to eq 200
    eventually { descriptors.none? { |path| path.include?("kept") } }
  end

  it "loses nothing while pools come and go during pushes" do
    over = false
    visitors = Array.new(3) { |visitor| Thread.new { app.notes("other#{rand(6)}") && app.notes("acme") until over } }
    8.times do |number|
      pushed = app.hotswap("cp", app.notes_file("new", "push #{number}"), "storage/tenants/acme/main.sqlite3")
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
      expect(app.post("/tenants/acme", text: "written #{number}").status).to eq 201
      expect(app.notes("acme")).to eq "push #{number},written #{number}"
    end
  ensure
    over = true
    visitors&.each(&:join)
  end
end
