# frozen_string_literal: true

require "sqlite3"

class Tour
  # A database as anyone with SQLite sees it, beside the application.
  class DatabaseFile
    attr_reader :path

    def initialize(path)
      @path = path
    end

    def megabytes = "#{(File.size(path) / 1_000_000.0).round(1)} MB"

    def run(statements) = open { |database| database.execute_batch(statements.join("\n")) }

    # Of the writes that visitors had acknowledged.
    def tokens
      open { |database| database.execute("SELECT token FROM items WHERE token IS NOT NULL").flatten }
    end

    # "ok", or the first thing that is not.
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
