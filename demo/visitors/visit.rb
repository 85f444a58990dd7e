# frozen_string_literal: true

class Visitors
  # One request and what became of it. Instants are seconds on the machine's monotonic clock, which all its
  # processes share (Visitors.now): a report can be compared with what another process did meanwhile.
  Visit = Struct.new(:kind, :due, :started, :ended, :status, :version, :pid, :id, :token, :error) do
    def good? = error.nil? && (200..299).cover?(status)

    # From the instant when the visitor wanted to come: time spent waiting for a free thread counts too.
    def latency = ended - due

    # The application has promised that this row is in its database.
    def acknowledged? = kind == "post" && good? && !token.nil?

    def failure
      return if good?

      error || "HTTP #{status}"
    end
  end
end
