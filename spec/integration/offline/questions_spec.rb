# frozen_string_literal: true

require "hotswap"

RSpec.describe "hotswap status and log with --offline" do
  before(:context) do
    @app = RailsApp.new
    @backup = TestDatabase.new(app.root).release("restored", name: "backup.sqlite3")
  end
  before { FileUtils.rm_rf(app.root.join("storage")) }
  after(:context) { @app&.remove }

  attr_reader :app, :backup

  it "answer before the first boot, without a server" do
    status = app.hotswap("status", "--offline")
    log = app.hotswap("log", "--offline")

    expect(status).to have_attributes(exit_code: 0, stderr: "")
    expect(status.stdout).to match(%r{^storage/production\.sqlite3 \(primary\): .*(not|no) })
    expect(log).to have_attributes(exit_code: 0, stdout: "", stderr: "")
    expect(app.root.join("storage")).not_to exist
  end

  it "show what a push with --offline did" do
    app.hotswap("cp", backup, "primary", "--offline", "--label", "release 7")
    status = app.hotswap("status", "primary", "--offline", "--json")
    log = app.hotswap("log", "primary", "--offline")

    expect(status).to have_attributes(exit_code: 0, stderr: "")
    expect(JSON.parse(status.stdout)).to include("databases" => [a_hash_including("name" => "primary", "last_push" => a_hash_including("label" => "release 7"))])
    expect(log).to have_attributes(exit_code: 0, stderr: "", stdout: /\A.*push.*release 7.*\n\z/)
  end
end
