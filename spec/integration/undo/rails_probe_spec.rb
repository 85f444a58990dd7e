# frozen_string_literal: true

RSpec.describe "config.hotswap.probe in Rails", lane: "default" do
  settings = <<~RUBY
    Rails.application.config.hotswap.probe { |database| Post.transaction { Post.first.title.exclude?("bad") && database.label.end_with?("production.sqlite3") } }
  RUBY
  running_app(workers: 2) { |server| server.write("config/initializers/hotswap.rb", settings) }

  def copy(title)
    app.databases.changed("#{title}.sqlite3", version: title) { |db| db.execute("UPDATE posts SET title = ?", [title]) }
  end

  it "uses the application's models, and its connection is in no push's way" do
    2.times { |number| expect(app.hotswap("cp", copy("good-#{number}"), "primary")).to have_attributes(exit_code: 0) }
    pushed = app.hotswap("cp", copy("bad"), "primary")

    expect(pushed).to have_attributes(exit_code: 7, stderr: /the probe failed: config\.hotswap\.probe returned false\. The previous version/)
    expect(app.version).to eq "good-1"
    expect(app.hotswap("cp", copy("good-2"), "primary")).to have_attributes(exit_code: 0)

    # With --offline, the application does not run, and neither does the block.
    app.stop
    offline = HotswapCommand.run("cp", copy("bad-offline"), "primary", "--offline", chdir: app.root, env: DemoApp.environment)
    expect(offline).to have_attributes(exit_code: 0, stdout: "OK\n")
  end
end
