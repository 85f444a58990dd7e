# frozen_string_literal: true

require_relative "fleet"

# What jobs did, from the notes that they leave outside of any database, and which processes of Solid Queue there are.
class JobNotes
  Row = Struct.new(:kind, :pid, :id, :last_heartbeat_at)

  def initialize(app)
    @app = app
    @file = app.root.join("log/jobs.jsonl")
  end

  # The notes of every run, also of those that should not have been.
  def all = @file.exist? ? @file.readlines.map { |line| JSON.parse(line) } : []

  def tokens = all.map { |note| note.fetch("token") }

  # The same promises hold for what jobs write and read as for what visitors do.
  def verdict(generations) = generations.verdict(Visitors::Report.of_jobs(@file.to_s))

  # As Solid Queue has them registered.
  def processes
    TestDatabase.read(@app.database_path("queue")) do |db|
      db.execute("SELECT kind, pid, id, last_heartbeat_at FROM solid_queue_processes ORDER BY id").map { |row| Row.new(*row.first(4)) }
    end
  end
end
