# frozen_string_literal: true

# Writes an item, and notes outside of any database which one received it, so that the job's write can be looked for
# later.
class ItemJob < ApplicationJob
  NOTES = "log/jobs.jsonl"

  def perform(token)
    started = now
    written = Item.write!(name: "job", token: token)
    note(written.merge("pid" => Process.pid, "started" => started, "ended" => now))
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # Writes once, so that the lines of two processes do not mix.
  def note(what) = File.write(Rails.root.join(NOTES), "#{what.to_json}\n", mode: "a")
end
