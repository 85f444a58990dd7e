# frozen_string_literal: true

require "sqlite3"

class Tour
  # A database file, opened besides the application, as any program with SQLite can.
  class DatabaseFile
    attr_reader :path

    def initialize(path)
      @path = path
    end

    def megabytes = "#{(File.size(path) / 1_000_000.0).round(1)} MB"

    def run(statements) = open { |database| database.execute_batch(statements.join("\n")) }

    # The tokens of the acknowledged writes.
    def tokens
      open { |database| database.execute("SELECT token FROM items WHERE token IS NOT NULL").flatten }
    end

    # The names of the users.
    def names
      open { |database| database.execute("SELECT screen_name FROM users ORDER BY id").flatten }
    end

    # Returns "ok", or the first problem.
    def integrity
      open { |database| database.get_first_value("PRAGMA integrity_check(1)") }
    rescue SQLite3::Exception => error
      error.message
    end

    private

    def open
      database = SQLite3::Database.new(path)
      database.busy_timeout = 5000
      yield database
    ensure
      database&.close
    end
  end
end
