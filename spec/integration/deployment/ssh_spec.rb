# frozen_string_literal: true

require "open3"

# A real sshd, and the documented commands.
RSpec.describe "a command through ssh", :slow, lane: "default" do
  documented = Project::ROOT.glob("{README.md,docs/*.md}").flat_map(&:readlines)
    .grep(/^ {4}.*\bssh .*bin\/hotswap cp/).grep_v(/docker|fly ssh/).map { |line| line.sub(/\A *(\$ |- run: )?/, "").chomp }.uniq

  before(:context) do
    why = SshServer.missing
    skip why if why
    @app, @here = Array.new(2) { AppServer.start { |server| put_command_into(server) } }
    @home = Pathname(Dir.mktmpdir("hs"))
    @home.join("app").make_symlink(app.root)
    @ssh = SshServer.new(@home.join("ssh"), home: @home)
    skip "sshd does not let this user in" unless @ssh.lets_in?
  end

  after(:context) do
    @ssh&.stop
    FileUtils.rm_rf(@home) if @home
    [@app, @here].each { |server| server&.tear_down }
  end

  # The server's application, and one on the user's own machine.
  attr_reader :app, :here, :ssh

  def put_command_into(server)
    server.write("bin/hotswap", "#!/bin/sh\nexec #{HotswapCommand::PROGRAM.join(" ")} \"$@\"\n")
  end

  # The documents' line, with this application's names.
  def type(line, **options)
    line = line.gsub("/srv/app/current", "app").gsub(%r{\bdb/production|storage/(development|content)}, "storage/production")
      .sub("cp - content", "cp - primary").sub("< storage/production", "< new").sub("zstd", "gzip").sub("zst\"", "gz\"")
    HotswapCommand.run(program: ["bash", "-c", line], chdir: here.root, env: {**ssh.environment, "SERVER" => "server"}, **options)
  end

  def release(version) = FileUtils.cp(app.databases.release(version), here.root.join("new.sqlite3"))

  # The file that a pull wrote here.
  def pulled
    file = here.root.glob("backup*").first
    system("gunzip", file.to_s, exception: true) if file.extname == ".gz"
    here.root.glob("backup*").first
  end

  it "is documented" do
    expect(documented.size).to be >= 6
  end

  documented.each_with_index do |line, n|
    it "works as documented: #{line}" do
      release("release #{n}")
      expect(type(line)).to have_attributes(exit_code: 0, stderr: a_string_matching(/\A(Swapping database\.\.\.\n)?(identity: \h{32}\n)?\z/))

      case line
      when /\| bin\/hotswap cp - / then expect(here.version).to eq app.version
      when /cp - / then expect(app.version).to eq "release #{n}"
      else
        file = pulled
        expect(TestDatabase.content(file)).to eq TestDatabase.content(app.database_path)
        file.delete
      end
    end
  end

  push = "ssh server 'cd app && bin/hotswap cp - storage/production.sqlite3'"

  it "returns its message and its exit status" do
    expect(type(push, stdin_data: "no database" * 100)).to have_attributes(exit_code: 3, stdout: "", stderr: /\AERROR: .*not a database/)
  end

  it "changes nothing if the connection breaks during a push" do
    data = File.binread(app.databases.release("half"))
    before = app.version
    reader, writer = IO.pipe(binmode: true)
    cut = HotswapCommand.start(program: ["ssh", "server", push[/'(.*)'/, 1]], chdir: here.root, env: ssh.environment, in: reader)
    writer.write(data[0, 1_000_000])
    eventually { app.stray_files.any? }
    cut.kill(:KILL)
    cut.wait

    eventually { app.stray_files.empty? && app.log.match?(/command failed: (the file is truncated|the sender ended)/) }
    expect(app.version).to eq before
  ensure
    [reader, writer].each { |io| io&.close }
  end
end
