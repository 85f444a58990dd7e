# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "../support/project"

# In a copy whose default Gemfile cannot be installed. Its lane "small" needs no gem, so that nothing is fetched, and
# programs of the spec's own stand for what would change the machine.
RSpec.describe "bin/setup", lane: "default" do
  before do
    @folder = Pathname(Dir.mktmpdir("hs"))
    %w[bin Cargo.toml Cargo.lock Rakefile hotswap.gemspec].each { |name| FileUtils.cp_r(Project::ROOT.join(name), folder) }
    write("Gemfile", %(source "http://127.0.0.1:9"\ngem "not-installed-anywhere"\n))
    write("gemfiles/small.gemfile", "# Has no rake-compiler: the spec's own rake compiles.\n")
    folder.join("lib/hotswap").mkpath
    write("ext/hotswap/src/lib.rs", "")
    write("ext/hotswap/tests/model.rs", "")
    # Like rake, it does not replace a library that is as new.
    program("rake", <<~SH)
      echo "compiled in $HOTSWAP_LANE"
      [ -e lib/hotswap/hotswap.so ] || echo "with ${RB_SYS_CARGO_PROFILE:-release}" >lib/hotswap/hotswap.so
    SH
    program("sudo", "[ \"$1\" = -n ] || exec \"$@\"")
  end

  after { FileUtils.rm_rf(folder) }

  attr_reader :folder

  def write(path, text) = folder.join(path).tap { |file| file.dirname.mkpath }.write(text)

  def program(name, script)
    write("programs/#{name}", "#!/bin/sh\n#{script}\n")
    folder.join("programs", name).chmod(0o755)
  end

  def command(*arguments, path: [ENV.fetch("PATH")], profile: nil)
    path = [folder.join("programs"), *path].join(File::PATH_SEPARATOR)
    [Project.plain_environment("PATH" => path, "RB_SYS_CARGO_PROFILE" => profile), "bin/setup", *arguments, {chdir: folder.to_s, unsetenv_others: true}]
  end

  def setup(*arguments, **options)
    *command, place = command(*arguments, **options)
    said, status = Open3.capture2e(*command, **place, stdin_data: "")
    [status.exitstatus, said]
  end

  # The folders of this machine's programs, but for those whose name matches.
  def self.tools_without(missing)
    tools = Pathname(Dir.mktmpdir("hs"))
    %w[/usr/sbin /bin /usr/bin /usr/local/bin].flat_map { |path| Pathname(path).children }.each do |file|
      FileUtils.ln_sf(file, tools.join(file.basename)) unless file.directory? || file.basename.to_s.match?(missing)
    end
    [tools, File.join(Dir.home, ".cargo/bin")]
  end

  def log = folder.join("tmp/setup/log")

  it "prepares a lane without the default lane's gems, and compiles with the lane's" do
    expect(setup("--lane", "small")).to match [0, "setup: compiling the extension: one to two minutes the first time; the log is #{log}\n"]
    expect(log.read).to eq "compiled in small\n"
  end

  it "compiles again if a source has changed, but not for a folder or a test" do
    setup("--lane", "small")
    later = Time.now + 2
    %w[ext ext/hotswap ext/hotswap/src ext/hotswap/tests/model.rs].each { |path| folder.join(path).utime(later, later) }
    expect(setup("--lane", "small")).to eq [0, ""]

    folder.join("ext/hotswap/src/lib.rs").utime(later, later)
    expect(setup("--lane", "small")).to match [0, /compiling the extension/]
  end

  it "compiles again for another profile of Cargo, and never leaves the library of the previous one" do
    library = folder.join("lib/hotswap/hotswap.so")
    found = ["checked", "checked", nil].map do |profile|
      [setup("--lane", "small", profile: profile).last.include?("compiling"), library.read]
    end

    expect(found).to eq [[true, "with checked\n"], [false, "with checked\n"], [true, "with release\n"]]
  end

  it "names what the build of the extension lacks" do
    program("rake", "echo 'This machine lacks what that needs:'; echo; echo '- libclang (Debian: …)'; exit 1")

    expect(setup("--lane", "small")).to match [1, /The extension cannot be compiled\. This machine lacks:\nsetup: - libclang \(Debian: …\)\n\z/]
  end

  {"" => /\A\z/, ", also where there is no program flock" => /\Aflock\z/}.each do |where, missing|
    it "waits until another one is over#{where}" do
      path = self.class.tools_without(missing)
      lock = folder.join("tmp/setup/lock").tap { |file| file.dirname.mkpath }.open("w").tap { |file| file.flock(File::LOCK_EX) }
      Open3.popen2e(*command("--lane", "small", path:)) do |_, output, waiter|
        expect(output.gets).to eq "setup: waiting for another bin/setup\n"
        expect(waiter).to be_alive
        lock.close
        expect([waiter.value.exitstatus, output.read]).to match [0, /compiling the extension/]
      end
    ensure
      lock&.close
      FileUtils.rm_rf(path.first) if path
    end
  end

  describe "without --install-packages" do
    before { program("apt-get", "touch '#{folder}/changed'") }

    it "installs nothing, says what is missing, and how to install it, if no RubyGems server answers" do
      expect(setup).to match [1, /^setup: The gems are missing, and no RubyGems server answers\.\n.*:   bin\/setup --install-packages\n.*packages as root: ruby .*ruby-rails/m]
      expect(folder.join("changed")).not_to exist
    end

    it "does so if Ruby is too old" do
      program("ruby", "exit 1")

      expect(setup).to match [1, /\Asetup: Ruby 3\.2 or newer .* is missing\.\n.*:   bin\/setup --install-packages\n.*packages as root: ruby .*bundler/m]
      expect(folder.join("changed")).not_to exist
    end
  end

  it "takes Debian 13's packages if the machine's own Ruby is too old" do
    program("ruby", "exit 1")
    program("install", "touch '#{folder}/added'")
    program("apt-get", "echo \"$*\" >>'#{folder}/asked'")
    program("apt-cache", "case $* in 'policy ruby') echo '  Candidate: 1:3.1' ;; *) [ ! -e '#{folder}/added' ] || echo 'ruby-rails | 2:7.2.2 |' ;; esac")

    expect(setup("--install-packages")).to match [1, /adding Debian 13 \(trixie\) as a package source.*Ruby is still not right/m]
    expect(folder.join("asked").readlines.last).to start_with("install -y -t trixie --no-install-recommends ruby ruby-dev bundler")
  end

  it "says why apt-get failed if no RubyGems server answers" do
    program("apt-get", "echo 'E: Release file is expired (invalid since 19d).'; exit 100")
    program("apt-cache", "exit 0")

    expect(setup("--install-packages")).to match [1, /The gems cannot be installed: no RubyGems server answers, and Debian's packages have no Rails 7\.2; before that, apt-get update failed: Release file is expired \(invalid since 19d\)\.\n\z/]
  end

  it "tries the existing package lists, and names both failures" do
    program("apt-get", "case $* in *update) echo 'E: Some source is broken' ;; *) echo 'E: Unable to locate package puma' ;; esac; exit 100")
    program("apt-cache", "echo 'ruby-rails | 2:7.2.2 |'; echo ' Candidate: 2:7.2.2'")

    expect(setup("--install-packages")).to match [1, /and apt-get install failed: Unable to locate package puma; before that, apt-get update failed: Some source is broken\.\n\z/]
  end

  {
    "--browser" => [/chrom/, %w[chromium chromedriver], "133 MB", "chromium chromium-driver", "That spec"],
    "--file-systems" => [/mkfs|bindfs/, %w[mkfs.xfs mkfs.btrfs bindfs], "4 MB", "xfsprogs btrfs-progs bindfs fuse3", "Those specs"]
  }.each do |option, (missing, programs, size, packages, pending)|
    describe option do
      before(:context) { @tools = self.class.tools_without(missing) }
      after(:context) { FileUtils.rm_rf(@tools.first) }

      define_method(:setup) { |*arguments| super("--lane", "small", *arguments, path: @tools) }

      it "says what is missing, and installs nothing by itself" do
        program("apt-get", "touch '#{folder}/changed'")

        expect(setup(option)).to match [0, /no #{programs.first}.*bin\/setup #{option} --install-packages installs them/mi]
        expect(folder.join("changed")).not_to exist
      end

      it "installs Debian's packages if it may" do
        program("apt-get", "echo \"$*\" >>'#{folder}/asked'")

        expect(setup(option, "--install-packages")).to match [0, /#{size}/]
        expect(folder.join("asked").readlines.last).to eq "install -y --no-install-recommends #{packages}\n"
      end

      it "is ready all the same if that fails, and says why" do
        program("apt-get", "echo 'E: No network.'; exit 100")

        expect(setup(option, "--install-packages")).to match [0, /left out: apt-get install failed: No network\. #{pending} will be pending\n\z/]
      end

      it "says nothing if they are there" do
        setup
        programs.each { |name| program(name, "") }

        expect(setup(option, "--install-packages")).to eq [0, ""]
      end
    end
  end
end
