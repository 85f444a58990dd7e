# frozen_string_literal: true

# The queue of an application without the Solid Queue gem: its jobs are in the same table, and bin/jobs performs them
# one after the other.
class PlainQueue
  PAUSE = 0.05

  # Runs until the process is told to end.
  def self.work
    ending = false
    %w[INT TERM].each { |signal| trap(signal) { ending = true } }
    until ending
      found = Rails.application.executor.wrap { perform_next }
      sleep PAUSE unless found
    end
  end

  def self.perform_next
    job = QueuedJob.where(finished_at: nil).order(:id).first or return

    ActiveJob::Base.execute(JSON.parse(job.arguments))
    job.update_columns(finished_at: Time.current)
  end
  private_class_method :perform_next

  # One statement, as in Item.write!
  def enqueue(job)
    QueuedJob.insert!({queue_name: job.queue_name, class_name: job.class.name, active_job_id: job.job_id, arguments: job.serialize.to_json})
  end

  def enqueue_at(*) = raise(NotImplementedError, "jobs wait for nothing here")

  def enqueue_after_transaction_commit? = false
end
