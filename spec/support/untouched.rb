# frozen_string_literal: true

require "digest"
require_relative "eventually"
require_relative "test_database"

# Checks that a failed command changed nothing: the rows and the file of the live database, what the application serves,
# and the folder.
#
#   refused = untouched { app.hotswap("cp", app.databases.garbage, "storage/production.sqlite3") }
module Untouched
  include Eventually

  # within: how long a worker may take to clean up after its client has gone.
  def untouched(server = app, database: server.database_path, within: 0)
    before = standing(server, database)
    answer = yield
    eventually(within) { expect(standing(server, database)).to eq before }
    answer
  end

  # Without the lock file, the record, the newest previous version and the files that SQLite keeps next to an open database.
  def self.listing(folder)
    names = Dir.children(folder)
    names.reject { |name| names.include?(name[/\A(.+?)(-wal|-shm|-journal|\.hotswap|\.hotswap\.log|\.hotswap\.log\.1|\.previous(?:\.foreign)?)\z/, 1]) }.sort
  end

  private

  # The newest previous version, if there is one.
  def previous(database)
    file = "#{database}.previous"
    [File.stat(file).ino, Digest::SHA256.file(file).hexdigest] if File.exist?(file)
  end

  def standing(server, database)
    stat = File.stat(database)
    {
      content: TestDatabase.content(database), integrity: TestDatabase.integrity(database),
      file: [stat.ino, stat.mode, stat.uid, stat.gid], served: server.version,
      folder: Untouched.listing(File.dirname(database)), previous: previous(database)
    }
  end
end
