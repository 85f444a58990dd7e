# frozen_string_literal: true

# A worker: one process per command. The leader starts it as
#   ruby --disable-gems -I SQLITE3_GEM programs/worker.rb LIBRARY
#
# It loads the application's sqlite3 gem, and makes that gem's SQLite load hotswap's library as an extension, which
# hands this SQLite over. `require` and `load_extension` must name the same file.

# If memory runs out, the kernel should end this process and not the application, whose value it has inherited. Any
# process may raise its own value.
begin
  File.write("/proc/self/oom_score_adj", "1000")
rescue SystemCallError
  # There is no /proc, or it is read-only: the worker counts like any other process.
end

require "sqlite3"
library = ARGV.fetch(0)
require library

database = SQLite3::Database.new(":memory:")
database.enable_load_extension(true)
database.load_extension(library)
database.enable_load_extension(false)

Process.setproctitle("hotswap worker")
Hotswap::Native.run_worker

# Skips exit handlers, which would close SQLite's files: a replaced database stays locked until this process is gone.
exit!(0)
