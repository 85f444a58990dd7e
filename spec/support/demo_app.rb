# frozen_string_literal: true

require "digest"
require "fileutils"
require "open3"
require "tmpdir"
require_relative "project"

# demo/ as the specs use it: a copy, with databases that were prepared and seeded once per lane.
module DemoApp
  SOURCE = Project::ROOT.join("demo")
  # What decides the content of a prepared database.
  INPUTS = "{db,app/models,config}/**/*"
  # Where bootsnap keeps compiled code and the places of files: one folder for all copies, not one for each.
  BOOTSNAP = Project::CACHE.join("bootsnap-#{Project.lane}").to_s

  # Production loads all of Rails when it boots: a second of processor time, and the specs boot hundreds of times. So each
  # part of Rails loads when it is first used, unless the copy is `whole`. The application's own classes load at boot.
  LAZY = "Rails.application.config.eager_load_namespaces.clear\n"

  # Room for all objects of a booted application. Ruby would grow its heap step by step instead, and collect garbage
  # 26 times: a fifth of a boot's processor time.
  HEAP = {"RUBY_GC_HEAP_0_INIT_SLOTS" => "200000", "RUBY_GC_HEAP_1_INIT_SLOTS" => "60000", "RUBY_GC_HEAP_2_INIT_SLOTS" => "30000"}.freeze

  module_function

  def copy_to(folder, whole: false)
    copy_code_to(folder)
    write_lazy_loading(folder) unless whole
    FileUtils.cp_r(prepared_storage, folder.join("storage"))
  end

  def environment(extra = {})
    Project.bundled_environment("RAILS_ENV" => "production", "RACK_ENV" => "production",
      "SECRET_KEY_BASE" => "only-for-specs" * 4, "BOOTSNAP_CACHE_DIR" => BOOTSNAP, **HEAP, **extra)
  end

  # The seeded primary database, as it is before a server has touched it.
  def seeded_database = prepared_storage.join("production.sqlite3").to_s

  def prepared_storage
    @prepared_storage ||= Project::CACHE.join("storage-#{Project.lane}-#{fingerprint}").tap do |folder|
      prepare(folder) unless folder.exist?
    end
  end

  def copy_code_to(folder)
    SOURCE.children.reject { |child| %w[tmp log storage].include?(child.basename.to_s) }
      .each { |child| FileUtils.cp_r(child, folder) }
  end

  def write_lazy_loading(folder)
    initializers = folder.join("config/initializers")
    initializers.mkpath
    initializers.join("parts_of_rails.rb").write(LAZY)
  end

  # A rename at the end: another run may prepare at the same time, and one that dies halfway leaves no half.
  def prepare(target)
    Project::CACHE.mkpath
    forget_old_ones
    Dir.mktmpdir("hs") do |folder|
      copy_code_to(Pathname(folder))
      FileUtils.mkdir_p(File.join(folder, "storage"))
      said, status = Open3.capture2e(environment, *Project::RUBY, "bin/rails", "db:prepare",
        chdir: folder, unsetenv_others: true)
      raise "bin/rails db:prepare failed:\n#{said}" unless status.success?
      FileUtils.cp_r(File.join(folder, "storage"), "#{target}.new-#{Process.pid}")
    end
    File.rename("#{target}.new-#{Process.pid}", target)
  rescue Errno::ENOTEMPTY, Errno::EEXIST
    FileUtils.rm_rf("#{target}.new-#{Process.pid}") # the other run was first
  end

  # Not the fresh ones: they may be another run's.
  def forget_old_ones
    Project::CACHE.glob("storage-*").each { |old| FileUtils.rm_rf(old) if old.mtime < Time.now - 86_400 }
  end

  def fingerprint
    versions = %w[rails sqlite3].map { |name| Gem.loaded_specs[name]&.version.to_s }
    files = SOURCE.glob(INPUTS).select(&:file?).sort.flat_map { |file| [file.relative_path_from(SOURCE).to_s, file.binread] }
    Digest::SHA256.hexdigest([*versions, *files].join("\0"))[0, 16]
  end
end
