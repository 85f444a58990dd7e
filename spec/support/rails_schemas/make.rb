# frozen_string_literal: true

# Makes databases with the Active Record of the lane, in the folder that is named:
#
#   migrated.sqlite3         by the migrations, one after the other
#   loaded.sqlite3           from the schema.rb that is dumped from it
#   sorted.sqlite3           from one whose columns are sorted, as the first releases of Rails 8.1 do
#   rails_7_1.sqlite3        by the migrations under that version, as recorded in spec/fixtures/schemas
#   rails_7_1-loaded.sqlite3 from the schema.rb that this Active Record dumps from it

require "active_record"
require "fileutils"
require "stringio"
require_relative "migrations"

FOLDER, *RECORDS = ARGV
RAILS = ActiveRecord.version.segments.first(2).join(".")
ActiveRecord::Migration.verbose = false

def connect(name)
  ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: File.join(FOLDER, "#{name}.sqlite3"))
  yield ActiveRecord::Base.connection
ensure
  ActiveRecord::Base.connection_handler.clear_all_connections!
end

def migrate(connection)
  migrations(RAILS).each_with_index do |change, number|
    migration = Class.new(ActiveRecord::Migration[RAILS]) { define_method(:up) { instance_exec(&change) } }
    migration.new("step #{number}", number).migrate(:up)
  end
  tables = ActiveRecord::Base.connection_pool.respond_to?(:schema_migration) ? ActiveRecord::Base.connection_pool : connection
  tables.schema_migration.create_table
  tables.internal_metadata.create_table
end

def schema_of(name, sorted: false)
  connect(name) do |connection|
    connection.define_singleton_method(:columns) { |table| super(table).sort_by(&:name) } if sorted
    dumped = StringIO.new
    ActiveRecord::SchemaDumper.dump((RAILS >= "7.2") ? ActiveRecord::Base.connection_pool : connection, dumped)
    dumped.string
  end
end

def load_schema(name, schema) = connect(name) { eval(schema) } # rubocop:disable Security/Eval

connect("migrated") { |connection| migrate(connection) }
load_schema("loaded", schema_of("migrated"))
load_schema("sorted", schema_of("migrated", sorted: true))
RECORDS.each do |record|
  name = File.basename(record, ".sql")
  connect(name) { |connection| connection.raw_connection.execute_batch(File.read(record)) }
  load_schema("#{name}-loaded", schema_of(name))
end
