# frozen_string_literal: true

# Solid Queue's table, read without Solid Queue: the demo opens the database whether or not that gem is installed.
class QueuedJob < QueueRecord
  self.table_name = "solid_queue_jobs"
end
