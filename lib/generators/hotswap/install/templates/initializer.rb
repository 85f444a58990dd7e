# frozen_string_literal: true

# All of this is optional: without it hotswap manages every SQLite database of config/database.yml. Paths are
# relative to the application's root.
Rails.application.configure do
  # The databases to manage, where it is not all of them: one, or several. The first one is also called
  # "database" on the command line.
  # config.hotswap.database_path = "storage/production.sqlite3"
  # config.hotswap.database_paths = ["storage/production.sqlite3", "storage/production_queue.sqlite3"]

  # Where bin/hotswap meets the application. Where you move it, tell the command by --socket or HOTSWAP_SOCKET.
  # config.hotswap.socket_path = "tmp/sockets/hotswap.sock"

  # The socket for status and errors. Beside the other one unless it is set.
  # config.hotswap.stderr_socket_path = "tmp/sockets/hotswap.stderr.sock"

  # The longest that requests are held back at a time, in seconds. A swap needs a few milliseconds.
  # config.hotswap.max_pause = 0.5

  # How long a push looks for a moment at which no request runs before it gives up, in seconds. Requests go on
  # meanwhile.
  # config.hotswap.timeout = 30

  # Copying and checking give way to the application. Without that a push is over sooner where the machine is busy,
  # and requests are slower meanwhile.
  # config.hotswap.low_priority = true
  # A push replaces the file. Where that cannot be done, or another program has it open, such as Litestream, the new
  # content is written into it if that takes no longer than max_pause (:auto); whatever it takes (:always); or it is
  # refused (:never).
  # config.hotswap.in_place = :auto
end

# Where the life of a swap is told. Rails.logger unless it is set.
# Hotswap.logger = Logger.new(Rails.root.join("log/hotswap.log"))

# Called in every process when a database has been replaced, while requests go on: to drop what was made of the old
# data, such as fragments whose keys have not changed.
# Hotswap.after_swap { |database| Rails.cache.clear }

# Closes connections to a managed database that are not Active Record's. Called in every process, while no request
# runs.
# Hotswap.on_disconnect { |database| MyDatabase.disconnect }
