# frozen_string_literal: true

class Visitors
  # One request and its result. Instants are seconds on the machine's monotonic clock, which all its processes share
  # (Visitors.now), so a report can be compared with events in another process.
  Visit = Struct.new(:kind, :due, :started, :ended, :status, :version, :pid, :id, :token, :error) do
    def good? = error.nil? && (200..299).cover?(status)

    # From the instant when the visitor wanted to come: time spent waiting for a free thread counts, too.
    def latency = ended - due

    # Whether the application has promised that this row is in its database.
    def acknowledged? = kind == "post" && good? && !token.nil?

    def failure
      return if good?

      error || "HTTP #{status}"
    end
  end
end
