# frozen_string_literal: true

require_relative "../fleet/support/app_program"

RSpec.describe "hotswap cp --offline beside other processes", lane: "default" do
  def release(version) = TestDatabase.new(app.root.join("files").tap(&:mkpath)).release(version)

  def offline(*arguments) = HotswapCommand.run(*arguments, "--offline", chdir: app.root, env: DemoApp.environment)

  # Only Linux tells every user what a process runs.
  def taking_part(on_linux) = /^#{Project.linux? ? on_linux : /\d process(es)? takes? part: process \d+(, process \d+)*/}\.$/

  context "that serve" do
    running_app(workers: 2)

    it "lets the server do the work, and says so" do
      expect(app.version).to eq "v1"
      pushed = offline("cp", release("v2"), "primary")

      expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(pushed.stderr).to include("The server at #{File.realpath(app.root)}/tmp/sockets/hotswap.sock does the work.\n").and match(taking_part(/\d process(es)? takes? part: .*process \d+ \(puma.*\)/))
      expect(app.version).to eq "v2"
      expect(app.log).to include("push complete: storage/production.sqlite3")
    end
  end

  context "that do not serve" do
    before(:context) { @app = RailsApp.new.tap { |app| app.root.join("log").mkpath } }
    after(:context) { @app&.remove }

    attr_reader :app

    def live = app.root.join("storage/production.sqlite3").to_s

    it "moves them with the swap, and names them" do
      console = AppProgram.console(app)
      console.say('puts "sees " + Release.current')
      console.wait_for("sees v")
      pushed = offline("cp", release("v2"), "primary")

      expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(pushed.stderr).to match(/#{taking_part(/1 process takes part: process #{console.pid} \(.*console.*\)/)}\nSwapping database\.\.\.\n#{HotswapCommand::WAY}, /)
      console.say('puts "then " + Release.current')
      console.wait_for("then v2")

      console.say('Item.transaction { Item.create!(name: "a", token: "a"); puts "wrote"; $stdout.flush; sleep }')
      console.wait_for("wrote\n")
      busy = offline("cp", release("v3"), "primary", "--timeout=0.5")
      expect(busy).to have_attributes(exit_code: 4, stdout: "", stderr: Project.linux? ? /process #{console.pid} .*(has a transaction open|runs a query) on storage/ : /locked by a transaction\. It is open in process #{console.pid}, which belongs to this application/)
      expect(TestDatabase.version(live)).to eq "v2"
    end

    it "writes in place beside a program without the gem" do
      shell = Stranger.ruby(live)
      newest = "SELECT version FROM releases ORDER BY id DESC LIMIT 1"
      expect(shell.ask(newest)).to match(/\Av\d\z/)
      inode = File.stat(live).ino
      pushed = offline("cp", release("v4"), "primary")

      expect(pushed).to have_attributes(exit_code: 0, stderr: /^No process of the application has storage\/production.sqlite3 open\.\n(.*\n)*#{HotswapCommand.in_place_beside(shell.pid)}/)
      expect([File.stat(live).ino, TestDatabase.version(live)]).to eq [inode, "v4"]
      expect(shell.ask(newest)).to eq "v4"
    end
  end
end
