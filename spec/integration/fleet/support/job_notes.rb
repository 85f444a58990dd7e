# frozen_string_literal: true

require_relative "fleet"

# Reads the notes that jobs write outside of any database, and lists the processes of Solid Queue.
class JobNotes
  Row = Struct.new(:kind, :pid, :id, :last_heartbeat_at)

  def initialize(app)
    @app = app
    @file = app.root.join("log/jobs.jsonl")
  end

  # The notes of every run, including runs that should not have happened.
  def all = @file.exist? ? @file.readlines.map { |line| JSON.parse(line) } : []

  def tokens = all.map { |note| note.fetch("token") }

  # hotswap makes the same promises for jobs as for requests.
  def verdict(generations) = generations.verdict(Visitors::Report.of_jobs(@file.to_s))

  # The processes in the table of Solid Queue.
  def processes
    TestDatabase.read(@app.database_path("queue")) do |db|
      db.execute("SELECT kind, pid, id, last_heartbeat_at FROM solid_queue_processes ORDER BY id").map { |row| Row.new(*row.first(4)) }
    end
  end
end
