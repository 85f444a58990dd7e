# frozen_string_literal: true

# What a container is to hotswap: processes of their own numbers, a root that cannot be written, a user without
# rights, the databases on a volume.
RSpec.describe "an application in a container", :thorough, lane: "default" do
  user = 65_534
  namespaces = %w[unshare --mount --pid --fork --kill-child --mount-proc]

  # Only storage and tmp can be written, and what a server has to have for its log.
  read_only = <<~SH
    for folder in storage tmp log; do mount --bind "$PWD/$folder" "$PWD/$folder"; done
    mount --options remount,bind,ro "$(df --output=target "$PWD" | tail -n 1)" && exec "$@"
  SH
  as_user = ["setpriv", "--reuid=#{user}", "--regid=#{user}", "--clear-groups"]
  inside = [*namespaces, "sh", "-euc", read_only, "sh", *as_user]

  contained = Class.new(AppServer) do
    define_method(:command) { [*inside, *super()] }
    define_method(:prepare) do
      super()
      %w[storage tmp tmp/sockets log files].each { |folder| root.join(folder).mkpath }
      FileUtils.chmod(0o755, root)
      FileUtils.chown_R(user, user, root)
    end
    private :command, :prepare

    # The application's own processes, seen from outside.
    def puma_pid = process.members.find { |pid| ServerProcess.command_line(pid).start_with?("puma ") }
  end

  before do
    skip "needs root and namespaces" unless Process.uid.zero? && system(*namespaces, "true", err: File::NULL)
    @app = keep(contained.start(workers: 2, initializer: 'Rails.application.config.hotswap.socket_path = "tmp/run/app.sock"'))
  end

  attr_reader :app

  def hotswap(prefix, *arguments, **options)
    HotswapCommand.run(*arguments, chdir: app.root, program: [*prefix, *HotswapCommand::PROGRAM], env: {"HOTSWAP_SOCKET" => "tmp/run/app.sock"}, **options)
  end

  # docker exec, kamal app exec --reuse: in the namespaces of the one that runs.
  let(:exec_in_it) { ["nsenter", "--target", app.puma_pid.to_s, "--mount", "--pid", "--wdns=#{app.root}", *as_user] }

  # docker run, kamal app exec: another container on the same volume.
  let(:another) { [*namespaces, *as_user] }

  def release(version) = app.databases.release(version).tap { |file| FileUtils.chmod(0o644, file) }

  it "can be pushed to and pulled from inside it, from another container, and by the host's root" do
    expect(app.version).to eq "v1"
    expect(File.stat(app.root.join("tmp/run/app.sock"))).to have_attributes(uid: user, mode: 0o140600)

    {"exec" => exec_in_it, "run" => another, "root" => []}.each do |version, prefix|
      pushed = hotswap(prefix, "cp", release(version), "database")
      expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), "#{version}: #{pushed.stderr}"
      expect(Array.new(10) { app.version }.uniq).to eq [version]

      backup = app.root.join("files/#{version}-backup.sqlite3")
      pulled = hotswap(prefix, "cp", "database", "-")
      expect(pulled).to have_attributes(exit_code: 0), "#{version}: #{pulled.stderr}"
      backup.binwrite(pulled.stdout)
      expect(TestDatabase.version(backup)).to eq version
    end
    expect(File.stat(app.database_path)).to have_attributes(uid: user, gid: user)
  end

  it "swaps together with a process in another container that keeps a connection open" do
    program = <<~RUBY
      require "hotswap"
      Hotswap.logger = Logger.new(nil)
      database = nil
      Hotswap.register("storage/production.sqlite3")
      Hotswap.on_disconnect { database = database&.close && nil }
      $stdout.sync = true
      while $stdin.gets
        database ||= SQLite3::Database.new("storage/production.sqlite3")
        puts database.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1")
      end
    RUBY
    beside = IO.popen([*another, "ruby", "-I", Project::ROOT.join("lib").to_s, "-e", program, {chdir: app.root.to_s}], "r+")
    version = lambda {
      beside.puts
      beside.gets&.chomp
    }
    expect([version.call, app.version]).to eq %w[v1 v1]

    %w[first second].each do |name|
      expect(hotswap(exec_in_it, "cp", release(name), "database")).to have_attributes(exit_code: 0)
      expect([version.call, app.version]).to eq [name, name]
    end
  ensure
    beside&.close
  end

  it "writes in place if a process in another container has the file open without the gem" do
    app.version
    held = IO.popen([*namespaces, *as_user, "ruby", "-rsqlite3", "-e", <<~RUBY], "r+")
      database = SQLite3::Database.new(#{app.database_path.dump})
      $stdout.sync = true
      begin puts database.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") end while gets
    RUBY
    expect(held.gets).to eq "v1\n"
    out_of_sight = "open in a process that this user cannot see, or one in another container"

    refused = hotswap(exec_in_it, "cp", release("refused"), "database", "--in-place=never")
    expect(refused).to have_attributes(exit_code: 4, stdout: "", stderr: a_string_including(out_of_sight))
    expect(app.version).to eq "v1"

    pushed = hotswap(exec_in_it, "cp", release("written"), "database")
    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: a_string_including("In place, because the database is #{out_of_sight}"))
    held.puts
    expect([held.gets, app.version]).to eq ["written\n", "written"]
  ensure
    held&.close
  end
end
