# frozen_string_literal: true

require_relative "watched_server"

# An application with a database for each tenant, whose system calls for the folder of one tenant are watched. Another
# tenant is used all the time.
class WatchedTenants < Tenants
  WATCHED = "storage/tenants/beta"
  LIVE = "#{WATCHED}/main.sqlite3"

  # Calls that poll for another process have no fixed count.
  POLLED = %w[lock who_locks is_leased].freeze
  POLLS = 4
  # The calls after which something else is on the disk, or is known to the application.
  CHANGING = %w[mkdir create write fsync truncate link rename unlink lease report].freeze

  def self.start(**options) = super(**options, workers: 0, initializer: "Rails.application.config.hotswap.max_pause = 3")

  # The folder may not exist yet.
  def calls = @calls ||= SystemCalls.new(root.join(WATCHED).to_s, root.to_s)

  def start_hotswap(*arguments, **options) = super(*arguments, env: calls.environment, **options)

  def push(*arguments, **options) = hotswap("cp", root.join("files/new.sqlite3").to_s, LIVE, *arguments, **options)

  # The database to push, with its only note.
  def offer(note) = notes_file("new", note)

  def listing = Dir.exist?(root.join(WATCHED)) ? Dir.children(root.join(WATCHED)).sort : []

  def worker_gone? = process.members == [pid]

  private

  def environment = super.merge(calls.environment)
end
