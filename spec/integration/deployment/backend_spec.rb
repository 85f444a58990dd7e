# frozen_string_literal: true

# What a platform has no call for, it does another way (docs/macos.md).
RSpec.describe "the backend", lane: "default" do
  running_app

  it "is in the log of the process that serves" do
    expect(app.log).to match(Project.linux? ? /backend: linux$/ : /backend: \w+, experimental: for development\. Pushes write in place$/)
  end

  it "decides whether a push may replace the file" do
    before = File.stat(app.database_path).ino
    said = app.hotswap("cp", app.databases.release("by-the-backend"), "storage/production.sqlite3")

    expect(said).to have_attributes(exit_code: 0, stderr: HotswapCommand::SWAPPED)
    expect(app.version).to eq "by-the-backend"
    expect(File.stat(app.database_path).ino == before).to be !Project.linux?
  end

  it "refuses to replace the file without a proof that no other process has it open" do
    skip "Linux has this proof" if Project.linux?
    refused = app.hotswap("cp", "--in-place=never", app.databases.release("never"), "storage/production.sqlite3")

    expect(refused).to have_attributes(exit_code: 3, stderr: /Push on Linux, or leave out --in-place=never$/)
  end
end
