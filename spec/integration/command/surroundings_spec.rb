# frozen_string_literal: true

require "tmpdir"

# The environments that a shell, a container or a deployment leaves.
RSpec.describe "the environment of a command", lane: "default" do
  around do |example|
    Dir.mktmpdir("hs") do |folder|
      @folder = File.realpath(folder)
      example.run
    end
  end

  attr_reader :folder

  def hotswap(*arguments, **options) = HotswapCommand.run(*arguments, chdir: folder, **options)

  it "may have an empty HOTSWAP_SOCKET" do
    answer = hotswap("cp", "a", "b", env: {"HOTSWAP_SOCKET" => ""})

    expect(answer).to have_attributes(exit_code: 1, stderr: %r{\AERROR: socket not found at #{folder}/tmp/sockets/hotswap.sock\n})
    expect(hotswap("cp", "a", "b", "--socket", "")).to have_attributes(exit_code: 2, stderr: /\AERROR: .*--socket/)
  end

  it "may be a deleted folder: help and version work, and cp says what is wrong" do
    deleted = File.join(folder, "release")
    in_it = ["/bin/sh", "-c", "mkdir #{deleted} && cd #{deleted} && rmdir #{deleted} && exec \"$@\"", "sh", *HotswapCommand::PROGRAM]

    expect(hotswap("version", program: in_it)).to have_attributes(exit_code: 0, stdout: /\Ahotswap \d/)
    expect(hotswap("help", program: in_it)).to have_attributes(exit_code: 0, stdout: /Usage/)
    expect(hotswap("cp", "primary", "/tmp/never", program: in_it))
      .to have_attributes(exit_code: 2, stdout: "", stderr: /\AERROR: the current folder has been deleted. Change to another one/)
  end

  it "may be a terminal: Ctrl-C while Ruby starts ends the command silently" do
    # Stands still where the extension would be loaded.
    slow = File.join(folder, "slow/hotswap/native.rb").tap { |file| FileUtils.mkpath(File.dirname(file)) }
    File.write(slow, %(File.write("#{folder}/there", ""); sleep))
    binstub = Project::ROOT.join("lib/generators/hotswap/install/templates/binstub")
    FileUtils.mkpath(File.join(folder, "bin"))
    FileUtils.cp(binstub, File.join(folder, "bin/hotswap"))
    FileUtils.touch(File.join(folder, "Gemfile"))
    load_path = [RbConfig.ruby, "-I", File.join(folder, "slow"), *HotswapCommand::PROGRAM[1..-2]]

    [HotswapCommand::PROGRAM.last, File.join(folder, "bin/hotswap")].each do |program|
      FileUtils.rm_f(File.join(folder, "there"))
      shell = ["/bin/sh", "-c", '"$@"; echo $?', "sh", *load_path, program, "version"]
      command = HotswapCommand.start(chdir: folder, program: shell)
      eventually { File.exist?(File.join(folder, "there")) }
      child = File.read("/proc/#{command.pid}/task/#{command.pid}/children").split.first.to_i
      Process.kill(:INT, child)

      expect(command.wait).to have_attributes(stdout: "130\n", stderr: "")
    end
  end
end
