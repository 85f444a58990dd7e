# frozen_string_literal: true

require "open3"
require "rbconfig"
require "tmpdir"
require_relative "../support/project"

RSpec.describe "ext/hotswap/extconf.rb" do
  let(:program) { Project::ROOT.join("ext/hotswap/extconf.rb").to_s }

  # What it prints, and whether it succeeds. It needs no gem before it has found what the build needs.
  def extconf(env, *options)
    Dir.mktmpdir("hs") do |folder|
      Open3.capture2e(Project.plain_environment(env), RbConfig.ruby, "--disable-gems", "-rrubygems", *options, program, chdir: folder, unsetenv_others: true)
    end
  end

  it "names a missing libclang, and where it looked, before it compiles" do
    said, status = extconf({"LIBCLANG_PATH" => "/nowhere"})

    expect(status).not_to be_success
    expect(said).to match(/^- libclang \(Debian: apt-get install libclang-dev;.*none was found in LIBCLANG_PATH, \/nowhere$/)
    expect(said).not_to match(/Ruby's headers|Rust 1\.85/)
  end

  it "accepts LIBCLANG_PATH as a folder or as a file" do
    Dir.mktmpdir("hs") do |folder|
      file = File.join(folder, "libclang-17.so.17").tap { |path| File.write(path, "") }

      [folder, file].each { |path| expect(extconf({"LIBCLANG_PATH" => path}).first).not_to include("none was found") }
    end
  end

  it "does not accept libclang-cpp, which is another library" do
    Dir.mktmpdir("hs") do |folder|
      File.write(File.join(folder, "libclang-cpp.so.17"), "")

      expect(extconf({"LIBCLANG_PATH" => folder}).first).to include("none was found")
    end
  end

  it "names a missing Rust and missing Ruby headers" do
    Dir.mktmpdir("hs") do |folder|
      without_headers = File.join(folder, "without_headers.rb").tap { |file| File.write(file, 'RbConfig::CONFIG["rubyhdrdir"] = "/nowhere"') }
      said, status = extconf({"CARGO" => "no-such-cargo"}, "-rrbconfig", "-r", without_headers)

      expect(status).not_to be_success
      expect(said).to include("- Rust 1.85 or newer (https://rustup.rs): no-such-cargo cannot be run\n")
        .and match(%r{^- Ruby's headers \(Debian: apt-get install ruby-dev;.*: /nowhere/ruby\.h does not exist$})
    end
  end

  it "finds everything on a complete machine" do
    expect(extconf({}).first).not_to include("This machine lacks")
  end
end
