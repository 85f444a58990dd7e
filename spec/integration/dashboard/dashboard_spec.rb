# frozen_string_literal: true

require "hotswap"

RSpec.describe "the dashboard of an application without Rails", lane: "default" do
  config = <<~RUBY
    require "hotswap"
    Hotswap.configure do |config|
      config.database_path = "db/app.sqlite3"
      config.dashboard_actions = true
    end
    # Notes each question, and answers it when the file "hold" is gone.
    Hotswap.singleton_class.prepend(Module.new do
      def status(...)
        File.write("asked", ".", mode: "a")
        sleep 0.01 while File.exist?("hold")
        super
      end
    end)
    # Every process takes part in every swap, from the start.
    Hotswap.after_swap { |_| nil }
    Hotswap.start

    use Hotswap::Middleware
    map "/hotswap" do
      use(Rack::Auth::Basic) { |user, password| Rack::Utils.secure_compare(user + ":" + password, "ann:secret") }
      run Hotswap::Dashboard
    end
    run ->(_) { [200, {"content-type" => "text/plain"}, [SQLite3::Database.new("db/app.sqlite3") { |db| break db.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1").tap { db.close } }]] }
  RUBY

  before(:context) do
    @app = RackServer.start(config: config, database: "db/app.sqlite3", workers: 2) do |server|
      TestDatabase.new(server.root.join("db").tap(&:mkpath)).release("v1", name: "app.sqlite3")
    end
  end

  after(:context) { @app&.tear_down }

  attr_reader :app

  # As a browser that has logged in.
  def view(path = "", **headers) = send_as_ann(Net::HTTP::Get.new("/hotswap#{path}"), headers)

  def send_as_ann(request, headers = {})
    request.basic_auth("ann", "secret")
    headers.each { |name, value| request[name] = value }
    Net::HTTP.start("127.0.0.1", app.port, read_timeout: 60, max_retries: 0) { |http| http.request(request) }
  end

  def push(version, *options)
    expect(app.hotswap("cp", TestDatabase.new(app.root.join("files").tap(&:mkpath)).release(version), "database", *options)).to have_attributes(exit_code: 0)
  end

  def version = app.get("/").body

  def id = Hotswap::Dashboard.id("db/app.sqlite3")

  it "is behind the application's authentication, with all that belongs to it" do
    paths = ["", "/rollback", *view.body.scan(%r{/hotswap(/\h+/dashboard\.\w+)}).flatten]

    expect(paths.size).to eq 4
    expect(paths.map { |path| app.get("/hotswap#{path}").status }).to eq [401] * 4
    expect(view).to have_attributes(code: "200", body: include("db/app.sqlite3"))
  end

  it "asks once for many viewers" do
    eventually do
      sleep 1.1
      before = File.size?(app.root.join("asked")).to_i
      expect(Array.new(20) { Thread.new { view.code } }.map(&:value).uniq).to eq ["200"]
      # Each of the two processes.
      expect(File.size(app.root.join("asked")) - before).to be_between(1, 2)
    end
  end

  it "delays no push while a viewer waits for an answer" do
    FileUtils.touch(app.root.join("hold"))
    sleep 1.1
    before = File.size?(app.root.join("asked")).to_i
    viewer = Thread.new { view }
    eventually { expect(File.size?(app.root.join("asked")).to_i).to be > before }

    push("v2", "--timeout=5")
    expect(viewer).to be_alive
    FileUtils.rm(app.root.join("hold"))
    expect(viewer.value.code).to eq "200"
  ensure
    FileUtils.rm_f(app.root.join("hold"))
  end

  it "rolls back, in the name of the user, and every process shows it" do
    push("v3")
    push("v4")
    form = view("/rollback?database=#{id}")
    request = Net::HTTP::Post.new("/hotswap/rollback")
    request.set_form_data(form.body.scan(/name="(database|token)" value="(\h+)"/).to_h)
    answer = send_as_ann(request, "Cookie" => form["set-cookie"][/\A[^;]+/], "Sec-Fetch-Site" => "same-origin")

    expect(answer).to have_attributes(code: "303")
    expect(answer["location"]).to eq "/hotswap"
    eventually { expect(version).to eq "v3" }
    eventually { expect(Array.new(8) { view.body.scan(/Rollback|dashboard, ann/).uniq }).to all match_array(["Rollback", "dashboard, ann"]) }
  end

  it "refuses a rollback without its own token" do
    before = version
    request = Net::HTTP::Post.new("/hotswap/rollback")
    request.set_form_data("database" => id)

    expect(send_as_ann(request)).to have_attributes(code: "403", body: /\ARefused: /)
    expect(version).to eq before
  end
end
