# frozen_string_literal: true

RSpec.describe "an application deployed by Capistrano", :slow, lane: "default" do
  # shared/storage and shared/tmp/sockets, linked into the release, and current, which leads to it.
  def lay_out(server)
    shared = server.root.join("shared")
    shared.join("tmp").mkpath
    server.root.join("tmp").mkpath
    FileUtils.mv(server.root.join("storage"), shared.join("storage"))
    File.symlink("shared/storage", server.root.join("storage"))
    shared.join("tmp/sockets").mkpath
    File.symlink("../shared/tmp/sockets", server.root.join("tmp/sockets"))
    File.symlink(".", server.root.join("current"))
  end

  it "can be pushed to by any path, keeps its links, and serves the new data after a restart" do
    app = boot_app { |server| lay_out(server) }
    current = app.root.join("current")
    {"one" => "storage/production.sqlite3", "two" => current.join("storage/production.sqlite3").to_s, "three" => app.root.join("shared/storage/production.sqlite3").to_s}.each do |version, path|
      expect(app.hotswap("cp", app.databases.release(version), path, chdir: current)).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq version
    end
    expect(%w[storage tmp/sockets current].map { |link| app.root.join(link) }).to all(be_symlink)

    app.restart
    expect(app.hotswap("cp", app.databases.release("four"), "storage/production.sqlite3", chdir: current)).to have_attributes(exit_code: 0)
    expect(app.version).to eq "four"
  end
end
