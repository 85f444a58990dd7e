# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "project"

# The gem as a user gets it: built, and installed from the package into an empty GEM_HOME. What it depends on
# comes from the gems of this run.
class GemInstallation
  attr_reader :home

  def self.make = new(Dir.mktmpdir("hs")).tap(&:install_source_gem)

  # The precompiled gem, where there is no Rust.
  def self.make_precompiled = new(Dir.mktmpdir("hs")).tap(&:install_precompiled_gem)

  def initialize(folder)
    @folder = Pathname(folder)
    @home = @folder.join("home")
  end

  def install_source_gem
    run("gem", "build", "--output", package.to_s, "hotswap.gemspec", chdir: Project::ROOT)
    take_compiled_crates
    run("gem", "install", "--local", "--no-document", package.to_s, chdir: @folder)
  end

  def install_precompiled_gem
    build_precompiled_gem
    @path = path_without_rust
    run("gem", "install", "--local", "--no-document", package.to_s, chdir: @folder)
  end

  def remove = FileUtils.rm_rf(@folder)

  # Runs a command as a user who has this gem installed. Returns its output.
  def run(*command, chdir:, env: {})
    said, status = Open3.capture2e(environment(env), *command, chdir: chdir.to_s, unsetenv_others: true)
    raise "#{command.join(" ")} failed:\n#{said.lines.last(60).join}" unless status.success?
    said
  end

  # The files that it brought, one a line, without the folder they are in.
  def contents
    files = run("gem", "contents", "hotswap", chdir: "/").gsub(%r{^.*?/hotswap-\d[^/]*(?=/)}, "")
    # Cargo marks the folder that it built in; RubyGems removes the rest of it.
    files.lines.grep_v(/CACHEDIR\.TAG/).join
  end

  def environment(extra = {})
    Project.plain_environment(
      "GEM_HOME" => home.to_s, "GEM_PATH" => [home, *gem_folders].join(File::PATH_SEPARATOR),
      "BUNDLE_IGNORE_CONFIG" => "true", "BUNDLE_SILENCE_ROOT_WARNING" => "true",
      "CARGO_BUILD_BUILD_DIR" => compiled.to_s, "RB_SYS_CARGO_PROFILE" => nil, **(@path ? {"PATH" => @path} : {}), **extra
    )
  end

  private

  def package = @folder.join("hotswap.gem")

  def compiled = @folder.join("compiled")

  # With the profile of this run, whose crates are compiled already. The source gem is compiled as users compile it. So
  # the package may be none to publish, and leaves pkg/.
  def build_precompiled_gem
    said, status = Open3.capture2e(Project.bundled_environment, "bundle", "exec", "rake", "native", "gem", chdir: Project::ROOT.to_s)
    raise "rake native gem failed:\n#{said.lines.last(60).join}" unless status.success?
    FileUtils.mv(Project::ROOT.glob("pkg/hotswap-*-*.gem").max_by(&:mtime), package)
  end

  # Every folder in which there is no cargo, which is what a compilation would begin with.
  def path_without_rust
    ENV.fetch("PATH").split(File::PATH_SEPARATOR).reject { |folder| File.exist?(File.join(folder, "cargo")) }.join(File::PATH_SEPARATOR)
  end

  # The crates from the registry are compiled already. An installation empties Cargo's target folder before and
  # after, hence the build folder apart from it (Cargo before 1.91 does not know it and compiles them again).
  def take_compiled_crates
    crates = Project::ROOT.join("target/release")
    return unless crates.exist?
    compiled.mkpath
    system("cp", "-a", crates.to_s, compiled.to_s, exception: true)
  end

  def gem_folders
    activated = Gem.loaded_specs.values.reject { |spec| spec.name == "hotswap" }.map(&:base_dir)
    (activated + Gem.path).uniq.select { |folder| File.directory?(folder) }
  end
end
