# frozen_string_literal: true

# A config.ru that was generated before Rails 6.1.
RSpec.describe "a config.ru without Rails.application.load_server" do
  rails_server = Class.new(AppServer) do
    private

    def command = [*Project::RUBY, "bin/rails", "server", "--binding", "127.0.0.1", "--port", port.to_s]
  end

  def boot(server = AppServer, **options)
    keep(server.start(**options) { |app| app.write("config.ru", app.root.join("config.ru").read.lines.grep_v(/load_server/).join) })
  end

  {"puma" => [AppServer, {}], "a cluster of puma" => [AppServer, {workers: 2}], "bin/rails server" => [rails_server, {}]}.each do |what, (server, options)|
    it "starts hotswap with the first request, and logs what to add, with #{what}" do
      app = boot(server, **options)
      expect(app.get("/version").status).to eq 200
      eventually { File.exist?(app.socket_path) }

      expect(app.hotswap("cp", app.databases.release("new"), "primary")).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq "new"
      expect(app.log).to include("add this as the last line of config.ru: Rails.application.load_server")
    end
  end

  it "ignores a request that an initializer makes" do
    app = keep(AppServer.start(workers: 2, whole: true) do |server|
      server.write("config.ru", server.root.join("config.ru").read.lines.grep_v(/load_server/).join + <<~RUBY)
        Rails.application.call(Rack::MockRequest.env_for("/version"))
      RUBY
    end)
    expect(app.get("/version").status).to eq 200
    eventually { File.exist?(app.socket_path) }

    expect(app.hotswap("cp", "primary", "copy.sqlite3")).to have_attributes(exit_code: 0)
  end

  it "logs nothing if config.ru has the line" do
    app = keep(AppServer.start(whole: true))
    expect(app.version).to be_truthy
    expect(app.log).to include("managing 4 database(s)")
    expect(app.log).not_to include("load_server")
  end

  it "does not start hotswap for the requests of a console or a test" do
    RailsApp.in_a_folder do |app|
      request = "ActionDispatch::Integration::Session.new(Rails.application).tap { |it| it.host = 'localhost'; it.get('/version') }.status"
      expect(app.evaluate("[#{request}, File.exist?(Hotswap.socket_path)]")).to eq [200, false]
    end
  end
end
