# frozen_string_literal: true

require "open3"
require "rbconfig"
require_relative "unit_helper"

RSpec.describe "loading" do
  def ruby(*arguments, **options)
    Open3.capture3(Project.bundled_environment, "bundle", "exec", RbConfig.ruby, "-I", Project::ROOT.join("lib").to_s,
      *arguments, unsetenv_others: true, **options)
  end

  Project::ROOT.glob("{lib,exe}/**/*").select { |file| file.extname == ".rb" || file.dirname.basename.to_s == "exe" }.each do |file|
    it "#{file.relative_path_from(Project::ROOT)} parses without a warning" do
      expect(Open3.capture2e(RbConfig.ruby, "--disable-gems", "-wc", file.to_s).first).to eq "Syntax OK\n"
    end
  end

  it "hotswap gives no warning, starts no thread and leaves no file open", aggregate_failures: true do
    stdout, stderr, status = ruby("-w", "-e", <<~RUBY)
      require "sqlite3"
      count = -> { [Thread.list.size, *%w[task fd].map { |what| Dir.children("/proc/self/\#{what}").size }] }
      before = count.call
      require "hotswap"
      p before == count.call
    RUBY

    expect(stderr.lines.grep(/hotswap/)).to be_empty
    expect(stdout).to eq "true\n"
    expect(status).to be_success
  end

  it "the command loads neither SQLite nor the rest of the gem" do
    stdout, = ruby("-e", 'require "hotswap/native"; puts defined?(SQLite3).inspect, defined?(Hotswap::Middleware).inspect, Hotswap::Native.library')

    expect(stdout.lines.map(&:chomp)).to match ["nil", "nil", a_string_ending_with("/hotswap.so").or(a_string_ending_with(".bundle"))]
  end

  it "hotswap without its extension says how to build it" do
    Dir.mktmpdir("hs") do |folder|
      FileUtils.cp_r(Project::ROOT.join("lib/."), folder)
      FileUtils.rm(Dir[File.join(folder, "hotswap/hotswap.{so,bundle}")])
      # The lane `portable` finds its extension there.
      _, stderr, status = Open3.capture3(Project.plain_environment.except("RUBYLIB"), RbConfig.ruby, "-I", folder, "-e", 'require "hotswap"', unsetenv_others: true)

      expect(stderr).to include("hotswap's native extension cannot be loaded", "gem pristine hotswap")
      expect(status).not_to be_success
    end
  end
end
