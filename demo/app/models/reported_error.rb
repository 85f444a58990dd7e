# frozen_string_literal: true

# Solid Errors' table; see QueuedJob.
class ReportedError < ErrorsRecord
  self.table_name = "solid_errors"
end
