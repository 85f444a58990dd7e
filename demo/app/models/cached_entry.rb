# frozen_string_literal: true

# Solid Cache's table; see QueuedJob.
class CachedEntry < CacheRecord
  self.table_name = "solid_cache_entries"
end
