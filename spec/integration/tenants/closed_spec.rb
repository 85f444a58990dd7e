# frozen_string_literal: true

# An application that keeps only a few pools open, as activerecord-tenanted does with max_connection_pools.
RSpec.describe "a process that has closed the pool of a tenant", :linux do
  running_app(Tenants, workers: 0, initializer: <<~RUBY)
    # As in a busy application: it closes the connection of a thread that has leased it while its pool was removed.
    Thread.new { loop { sleep(0.3) && GC.start } }
    Hotswap.after_swap { |database| Rails.root.join("tmp/moved").open("a") { |file| file.puts(database.path) } }
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
