# frozen_string_literal: true

# The versions of the database of an ItemsServer, and the commands that make them.
module Versions
  include Eventually
  include Untouched

  LIVE = "storage/app.sqlite3"

  def offer(*names) = app.file("storage/new.sqlite3", ItemsServer::SCHEMA, names)

  def push(*names, options: []) = app.hotswap("cp", *options, offer(*names), LIVE).tap { FileUtils.rm_f(app.root.join("storage/new.sqlite3")) }

  def rollback(...) = app.hotswap("rollback", ...)

  def version(number) = "#{app.database_path}.previous#{".#{number}" if number > 1}"

  # The numbers of the versions that are there.
  def versions
    names = Dir.children(File.dirname(app.database_path)).filter_map { |name| name[/\A#{File.basename(app.database_path)}\.previous(?:\.(\d+))?\z/] && ($1 || 1).to_i }
    names.sort
  end

  # For a tenth of a second the worker of a push keeps what it replaced locked.
  def items(number)
    settled
    names_in(version(number))
  end

  def settled = eventually { app.process.members == [app.pid] }

  def names_in(file) = TestDatabase.read(file) { |db| db.execute("SELECT name FROM items ORDER BY id").flatten }

  RSpec::Matchers.define :be_ok do
    match { |result| result.exit_code == 0 }
    failure_message { |result| "it ended with #{result.exit_code}: #{result.stderr}" }
  end
end
