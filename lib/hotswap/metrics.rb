# frozen_string_literal: true

module Hotswap
  # The state of the databases as OpenMetrics text, from the record and from `hotswap status`.
  #
  # A process counts every entry once, so a counter grows even when the record forgets old entries. A process that
  # starts later begins with what the record still has, which monitoring systems take for a reset.
  class Metrics
    def initialize
      @seen = Hash.new(0)
      @counts = Hash.new(0)
      @held = Hash.new(0.0)
      @mutex = Mutex.new
    end

    # @return [String]
    def text
      @mutex.synchronize do
        Hotswap.log.each { |entry| count(entry) }
        [*counters, *gauges, "# EOF"].join("\n") << "\n"
      end
    end

    private

    # Each database numbers its own entries.
    def count(entry)
      database = entry[:database].to_s
      return if entry[:sequence].to_i <= @seen[database]

      @seen[database] = entry[:sequence].to_i
      @counts[[database, entry[:event]]] += 1
      @held[database] += Float(entry[:held_ms] || 0) / 1e3
    end

    def counters
      lines = ["# TYPE hotswap_commands counter", "# HELP hotswap_commands Commands, by what became of them."]
      @counts.each { |(database, event), count| lines << sample("hotswap_commands_total", count, database: database, event: event) }
      lines.push("# TYPE hotswap_held_seconds counter", "# UNIT hotswap_held_seconds seconds", "# HELP hotswap_held_seconds The time for which swaps held requests.")
      @held.each { |database, seconds| lines << sample("hotswap_held_seconds_total", seconds.round(6), database: database) }
      lines
    end

    def gauges
      databases = Hotswap.status[:databases]
      [
        *gauge("hotswap_database_bytes", "The length of the database.", databases) { |one| one[:bytes] },
        *gauge("hotswap_wal_bytes", "The length of its WAL.", databases) { |one| one[:wal_bytes] },
        *gauge("hotswap_processes", "The processes that have to do with the database.", databases) { |one| one[:processes].size },
        *gauge("hotswap_running_commands", "The commands that run now.", databases) { |one| one[:commands].size },
        *gauge("hotswap_previous_versions", "The versions that were kept.", databases) { |one| one[:previous].size }
      ]
    end

    def gauge(name, help, databases)
      samples = databases.filter_map do |one|
        value = yield one
        sample(name, value, database: one[:database]) if value
      end
      ["# TYPE #{name} gauge", "# HELP #{name} #{help}", *samples]
    end

    def sample(name, value, **labels)
      labels = labels.map { |label, text| %(#{label}="#{text.to_s.gsub("\\", "\\\\\\\\").gsub("\"", "\\\"").gsub("\n", "\\n")}") }
      "#{name}{#{labels.join(",")}} #{value}"
    end
  end
end
