# frozen_string_literal: true

require "open3"
require "sqlite3"
require "tmpdir"
require_relative "project"

# Databases of one application's code: those that its migrations have made, and those that schema.rb makes.
#
#   schemas = RailsSchemas.new
#   schemas.file("migrated")
class RailsSchemas
  MAKER = File.join(__dir__, "rails_schemas/make.rb")

  attr_reader :folder

  # Whose production may be older than the Rails that it runs now: its schema is recorded.
  def self.recorded(up_to: rails) = Project::ROOT.glob("spec/fixtures/schemas/rails_*.sql").select { |file| version(file) <= up_to }.sort

  def self.record(rails = self.rails) = Project::ROOT.join("spec/fixtures/schemas/rails_#{rails.tr(".", "_")}.sql")

  def self.version(file) = file.basename.to_s[/\d+_\d+/].tr("_", ".")

  def self.rails = Gem.loaded_specs.fetch("activerecord").version.segments.first(2).join(".")

  def initialize
    @folder = Pathname(Dir.mktmpdir("hs"))
    said, status = Open3.capture2e(Project.bundled_environment, *Project::RUBY, MAKER, folder.to_s,
      *self.class.recorded.map(&:to_s), unsetenv_others: true)
    raise "no schemas were made:\n#{said}" unless status.success?
    folder.glob("*.sqlite3").each { |file| SQLite3::Database.new(file.to_s) { |db| db.execute("INSERT INTO items (name) VALUES (?)", [name(file)]) } }
  end

  def file(name) = folder.join("#{name}.sqlite3").to_s

  def names = folder.glob("*.sqlite3").map { |file| name(file) }

  # The statements that make a database again. Virtual tables make their own tables themselves.
  def statements(name)
    SQLite3::Database.new(file(name)) do |db|
      kept = "name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name NOT LIKE 'searches~_%' ESCAPE '~'"
      break db.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND #{kept} ORDER BY type DESC, name").flatten
    end
  end

  # One with another schema.
  def changed(statements)
    folder.join("changed.sqlite3").to_s.tap do |file|
      FileUtils.rm_f(file)
      SQLite3::Database.new(file) do |db|
        db.execute_batch(statements.join(";\n"))
        db.execute("INSERT INTO items (name) VALUES ('changed')")
      end
    end
  end

  def remove = FileUtils.rm_rf(folder)

  private

  def name(file) = File.basename(file, ".sqlite3")
end
