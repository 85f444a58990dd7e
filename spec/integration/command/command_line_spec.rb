# frozen_string_literal: true

require "hotswap/version"
require "rbconfig"
require "tmpdir"

RSpec.describe "the command line without a server", lane: "default" do
  around do |example|
    Dir.mktmpdir("hs") do |folder|
      @folder = folder
      example.run
    end
  end

  def hotswap(*arguments, **options) = HotswapCommand.run(*arguments, chdir: @folder, **options)

  it "prints the same help for no arguments, help, --help and -h" do
    answers = [[], ["help"], ["--help"], ["-h"]].map { |arguments| hotswap(*arguments) }

    expect(answers).to all(have_attributes(exit_code: 0, stderr: "", stdout: /\AUsage: hotswap|^Usage: hotswap/))
    expect(answers.map(&:stdout).uniq.size).to eq 1
  end

  it "lists its commands and every exit status in the help" do
    help = hotswap("help").stdout

    expect(help).to match(/^  cp SRC DST +\S/).and match(/^  version +\S/)
    expect(help.scan(/^  (\d)  \S/).flatten).to eq %w[0 1 2 3 4 5 6 7]
  end

  it "explains cp, its options and its uses with help cp and cp --help" do
    help, option = hotswap("help", "cp"), hotswap("cp", "--help")

    expect(help).to have_attributes(exit_code: 0, stderr: "", stdout: option.stdout)
    expect(option).to have_attributes(exit_code: 0, stderr: "")
    expect(help.stdout).to include("hotswap cp [OPTIONS] <SRC>... <DST>", "--skip-integrity-check", "--skip-schema-check",
      "--socket <PATH>", "HOTSWAP_SOCKET", "--quiet", "bin/hotswap cp db/production.sqlite3 ./backup.sqlite3")
  end

  it "prints its version with version, --version and -V" do
    %w[version --version -V].each do |argument|
      expect(hotswap(argument)).to have_attributes(exit_code: 0, stderr: "", stdout: "hotswap #{Hotswap::VERSION}\n")
    end
  end

  it "starts with RubyGems, too" do
    with_gems = HotswapCommand::PROGRAM - ["--disable-gems"]

    expect(hotswap("version", program: with_gems)).to have_attributes(exit_code: 0, stderr: "", stdout: /\Ahotswap \d/)
    expect(hotswap("cp", "a", "b", program: with_gems)).to have_attributes(exit_code: 1, stderr: /socket not found/)
  end

  it "starts in less than 0.1 s of processor time", :alone do
    used = Array.new(3) do
      before = Process.times
      hotswap("version")
      after = Process.times
      after.cutime + after.cstime - before.cutime - before.cstime
    end

    expect(used.min).to be_between(0.001, 0.1)
  end

  {
    "an unknown command" => [%w[mv a b], "'mv'"],
    "an unknown flag" => [%w[cp --force a b], "'--force'"],
    "no source and no destination" => [%w[cp], "<SRC>"],
    "no destination" => [%w[cp a], "<DST>"],
    "a third path" => [%w[cp a b c], "'c'"],
    "a second database" => [%w[status a b], "status takes one database\n\nUsage: hotswap status [OPTIONS] [DATABASE]"],
    "a --socket without a path" => [%w[cp a b --socket], "--socket"]
  }.each do |mistake, (arguments, named)|
    it "refuses #{mistake} with exit status 2, and points to the help" do
      answer = hotswap(*arguments)

      expect(answer).to have_attributes(exit_code: 2, stdout: "")
      expect(answer.stderr).to start_with("ERROR: ").and include(named, "try '--help'")
    end
  end

  it "exits with 0 if the reader of its help has gone" do
    reader, writer = IO.pipe
    reader.close

    expect(hotswap("help", out: writer)).to have_attributes(exit_code: 0, stderr: "")
  ensure
    writer.close
  end

  it "exits with 1 if there is no socket, and says where it looked and what to do" do
    answer = hotswap("cp", "new.sqlite3", "db/production.sqlite3")

    expect(answer).to have_attributes(exit_code: 1, stdout: "")
    expect(answer.stderr).to start_with("ERROR: socket not found at #{File.realpath(@folder)}/tmp/sockets/hotswap.sock\n")
      .and include("Is the application running", "--socket", "HOTSWAP_SOCKET", "If no server runs, add --offline")
  end

  it "lists the commands if it does not know one" do
    expect(hotswap("list").stderr).to eq <<~TEXT
      ERROR: Could not find command 'list'

      Commands:
        cp SRC DST           Copy a database to or from the running application
        rollback [DATABASE]  Go back to the previous version of a database
        status [DATABASE]    Show the databases, their processes, and what runs now
        log [DATABASE]       Show past pushes, pulls and rollbacks
        version              Print the version
        help                 Print help for a command

      For more information, try '--help'.
    TEXT
  end

  {
    "--force" => "a push does not ask for confirmation",
    "--simulate" => "to see what a push would do, pass --dry-run",
    "--skip-schema" => "did you mean '--skip-schema-check'?",
    "--nothing" => "the options are --skip-integrity-check, --skip-schema-check"
  }.each do |option, hint|
    it "explains #{option} instead of suggesting a similar option" do
      answer = hotswap("cp", option, "a", "b")

      expect(answer).to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: unexpected argument '#{option}': #{Regexp.escape(hint)}/)
      expect(answer.stderr).not_to include("tip:")
    end
  end

  it "says which argument is empty" do
    expect(hotswap("cp", "", "primary")).to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: SRC is empty.*variable/)
    expect(hotswap("cp", "primary", "")).to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: DST is empty.*variable/)
  end

  it "names the socket that --socket or HOTSWAP_SOCKET gave it" do
    by_option = hotswap("cp", "a", "b", "--socket", "elsewhere.sock")
    by_variable = hotswap("cp", "a", "b", env: {"HOTSWAP_SOCKET" => "/nowhere/hotswap.sock"})

    expect(by_option).to have_attributes(exit_code: 1, stderr: /not found at #{File.realpath(@folder)}\/elsewhere.sock$/)
    expect(by_variable).to have_attributes(exit_code: 1, stderr: %r{not found at /nowhere/hotswap.sock$})
  end

  it "says that the application has ended if only its socket is left" do
    stale = File.join(@folder, "stale.sock")
    UNIXServer.new(stale).close

    answer = hotswap("cp", "a", "b", "--socket", stale)

    expect(answer).to have_attributes(exit_code: 1, stdout: "")
    expect(answer.stderr).to start_with("ERROR: no process listens at #{stale}").and include("Start it, or add --offline")
    expect(File.socket?(stale)).to be true
  end

  it "recognizes a server that is not hotswap's" do
    path = File.join(@folder, "other.sock")
    UNIXServer.open(path) do |server|
      other = Thread.new { server.accept.tap { |client| client.write("HTTP/1.1 400 Bad Request\r\n\r\n") }.close }
      answer = hotswap("cp", "a", "b", "--socket", path)

      expect(answer).to have_attributes(exit_code: 1, stdout: "")
      expect(answer.stderr).to start_with("ERROR: the server at #{path} does not answer as a hotswap server does").and include("--socket")
    ensure
      other&.kill
    end
  end

  it "gives up on a server that does not answer", :slow do
    path = File.join(@folder, "mute.sock")
    UNIXServer.open(path) do
      answer = hotswap("cp", "a", "b", "--socket", path, timeout: 30)

      expect(answer).to have_attributes(exit_code: 1, stdout: "")
      expect(answer.stderr).to start_with("ERROR: the server at #{path} does not answer").and include("stopped sending", "Restart")
    end
  end
end
