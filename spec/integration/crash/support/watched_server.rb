# frozen_string_literal: true

require_relative "system_calls"

# An application, and commands, whose system calls for the folder of its database are watched.
class WatchedServer < ItemsServer
  NEW = "storage/new.sqlite3"
  BACKUP = "storage/backup.sqlite3"

  # With a table that a push of only the items keeps: every row that the application adds leaves a note in it, and no
  # pushed row does.
  NOTING = <<~SQL
    #{SCHEMA};
    CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TRIGGER noting AFTER INSERT ON items BEGIN INSERT INTO notes (name) VALUES (new.name); END
  SQL

  # Both files are there from the beginning, so that neither is taken for something left behind.
  #
  # max_pause is the default of the gem: what the specs expect of a slow disk and of a stopped worker depends on it.
  def self.start(schema: SCHEMA, settings: "", **options, &block)
    super(schema: schema, settings: "config.max_pause = 0.5; #{settings}", **options) do |server|
      server.schema = schema
      server.offer("none yet")
      server.file(BACKUP, SCHEMA, %w[yesterday's])
      block&.call(server)
    end
  end

  attr_writer :schema

  def calls = @calls ||= SystemCalls.new(root.join("storage").to_s, root.to_s)

  def start_hotswap(*arguments, **options) = super(*arguments, env: calls.environment, **options)

  # The database to push, with its only row.
  def offer(name) = file(NEW, @schema, [name])

  def push(*arguments, **options) = hotswap("cp", NEW, LIVE, *arguments, **options)

  # In one transaction, into the file that is there.
  def overwrite(**options) = hotswap("cp", "--in-place=always", NEW, LIVE, **options)

  # Its items, and no notes.
  def push_items(**options) = hotswap("cp", "--only", "items", NEW, LIVE, **options)

  # The database to go back to is a push below.
  def undo(**options) = hotswap("rollback", **options)

  def pull(**options) = hotswap("cp", LIVE, BACKUP, **options)

  # Rows that are in the WAL only: SQLite makes no checkpoint before a thousand pages.
  def add(name) = post("/", name: name, timeout: 10)

  def names = version.split

  def notes = TestDatabase.read(database_path) { |db| db.execute("SELECT name FROM notes ORDER BY id").flatten }

  private

  def environment = super.merge(calls.environment)
end

# Group level: `watched_app`, then `app` in the examples.
module WatchedApp
  def watched_app(**options, &)
    before(:context) { skip "no C compiler here makes the library that stands in between" unless SystemCalls.available? }
    running_app(WatchedServer, **options, &)
  end
end

RSpec.configure { |config| config.extend WatchedApp }
