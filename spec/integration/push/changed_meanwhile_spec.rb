# frozen_string_literal: true

# While a push waits for a request, another program changes what lies at the live path. What the worker has found there
# before it waited is looked for again under the lock.
RSpec.describe "a push during which another program changes the live file", lane: "default" do
  let(:app) { keep(ItemsServer.start(threads: 2)) }

  def new_file(item) = app.file("files/#{item}.sqlite3", ItemsServer::SCHEMA, [item])

  # Returns the result of the push. The block runs while the push waits.
  def pushed_meanwhile(*options)
    expect(app.version).to eq "old"
    request = Thread.new { app.get("/wait") }
    eventually { app.root.join("waits").exist? }
    push = app.start_hotswap("cp", new_file("new"), "database", *options)
    eventually(20) { expect(push.stderr).to match(/^(Swapping|In place)/) }
    yield Pathname(app.database_path)
    app.write("go-on", "")
    request.join
    push.wait
  end

  {
    "removes it" => [->(file) { file.delete }, /another program removed /],
    "puts another file in its place" => [->(file) { system("cp", file.to_s, "#{file}.theirs", exception: true) && File.rename("#{file}.theirs", file) }, /another program replaced .* in the meantime/],
    "removes its lock file" => [->(file) { File.delete("#{file}.hotswap") }, /another program removed or replaced .*app\.sqlite3\.hotswap in the meantime/],
    # In place, that does not matter.
    "adds a hard link to it" => [->(file) { File.link(file, "#{file.dirname.parent}/second-name.sqlite3") }, /since the command began, .* has 2 names \(hard links\)/, :linux]
  }.each do |what, (change, words, *tags)|
    it "ends with 4 and changes nothing if that program #{what}", *tags do
      refused = pushed_meanwhile { |file| change.call(file) }

      expect(refused).to have_attributes(exit_code: 4, stdout: "", stderr: words)
      expect(app.root.glob("storage/*.sqlite3").flat_map { |file| TestDatabase.read(file) { |db| db.execute("SELECT name FROM items") } })
        .to all(eq(["old"]))
      app.root.glob("second-name.sqlite3").each(&:delete)
      expect(app.hotswap("cp", new_file("newer"), "database")).to have_attributes(exit_code: 0, stdout: "OK\n")
      expect(app.version).to eq "newer"
      expect(app.stray_files).to eq []
    end
  end

  it "also ends with 4 in place if that program removes the file" do
    refused = pushed_meanwhile("--in-place=always", &:delete)

    expect(refused).to have_attributes(exit_code: 4, stdout: "", stderr: /another program removed /)
    expect(app.hotswap("cp", new_file("newer"), "database")).to have_attributes(exit_code: 0)
    expect(app.version).to eq "newer"
  end
end
