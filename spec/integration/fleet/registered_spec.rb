# frozen_string_literal: true

# A database that one process of a cluster registers while it runs.
RSpec.describe "Hotswap.register in a running application" do
  running_app(workers: 2, preload: false) do |app|
    app.root.join("data").mkpath
    app.write("app/controllers/registrations_controller.rb", <<~RUBY)
      class RegistrationsController < ActionController::Base
        skip_forgery_protection
        DATABASES = {}
        Hotswap.on_disconnect { |database| DATABASES.delete(database.path)&.close }

        def create
          Hotswap.register(path, name: params[:name])
          database.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
          database.execute("INSERT INTO notes VALUES ('of the application')")
          render plain: Process.pid.to_s
        end

        # Only the process that has registered it opens it.
        def show
          return head(:not_found) unless Hotswap.find_database(path)

          render plain: database.get_first_value("SELECT text FROM notes")
        end

        private

        def path = Rails.root.join("data", params[:name] + ".sqlite3").to_s

        def database = DATABASES[path] ||= SQLite3::Database.new(path)
      end
    RUBY
    routes = app.root.join("config/routes.rb")
    routes.write(routes.read.sub(/^end/, %(  post "registrations", to: "registrations#create"\n  get "registrations/:name", to: "registrations#show"\nend)))
  end

  def file(text)
    app.root.join("files").tap(&:mkpath).join("#{text}.sqlite3").to_s.tap do |path|
      SQLite3::Database.new(path) { |db| db.execute("CREATE TABLE notes (text TEXT)") && db.execute("INSERT INTO notes VALUES (?)", [text]) }
    end
  end

  # The process that serves the socket.
  def server = JSON.parse(app.hotswap("status", "--json").stdout)["server"]

  def answers(name) = Array.new(12) { app.get("/registrations/#{name}") }.reject { |answer| answer.status == 404 }.map(&:body)

  it "takes effect for every command, no matter which process serves" do
    eventually { app.worker_pids.size == 2 && app.get("/version").status == 200 }
    leader = server
    eventually { Integer(app.post("/registrations", name: "late").body) != leader }
    status = JSON.parse(app.hotswap("status", "--json").stdout).fetch("databases").find { |database| database["name"] == "late" }
    expect(status).to include("database" => "data/late.sqlite3")

    pushed = app.hotswap("cp", "--json", file("pushed"), "data/late.sqlite3")
    expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    expect(JSON.parse(pushed.stdout)).to include("way" => HotswapCommand::BY)
    expect(answers("late").uniq).to eq ["pushed"]

    Process.kill(:KILL, leader)
    eventually { server.then { |next_one| next_one && next_one != leader } }
    pulled = app.hotswap("cp", "late", "late-copy.sqlite3")
    expect(pulled).to have_attributes(exit_code: 0), pulled.stderr
  end

  it "does not let a push or a pull overwrite it as if it were any file" do
    app.post("/registrations", name: "kept")
    over = app.hotswap("cp", "primary", "data/kept.sqlite3")
    expect(over.exit_code).to eq 2
    expect(answers("kept").uniq).to eq ["of the application"]
  end

  it "means a pattern as well" do
    app.get("/version")
    code = 'Hotswap.register("data/many/*.sqlite3", name: "many"); puts "ready"; $stdout.flush; sleep'
    app.root.join("data/many").mkpath
    FileUtils.cp(file("one"), app.root.join("data/many/one.sqlite3"))
    runner = IO.popen(app.send(:environment), [*Project::RUBY, "bin/rails", "runner", code, {chdir: app.root.to_s, unsetenv_others: true}])
    expect(runner.gets).to eq "ready\n"
    expect(app.hotswap("cp", "data/many/one.sqlite3", "one-copy.sqlite3")).to have_attributes(exit_code: 0)
    Process.kill(:KILL, runner.pid)
    runner.close
    expect(app.hotswap("cp", "data/many/one.sqlite3", "one-copy.sqlite3")).to have_attributes(exit_code: 2)
  end
end
