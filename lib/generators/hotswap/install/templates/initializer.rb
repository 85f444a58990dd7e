# frozen_string_literal: true

# Every setting is optional. Without any, hotswap manages every SQLite database of config/database.yml. Paths are
# relative to the application's root.
Rails.application.configure do
  # The databases to manage, if not all: one, or several. On the command line the first one is also called "database".
  # config.hotswap.database_path = "storage/production.sqlite3"
  # config.hotswap.database_paths = [ "storage/production.sqlite3", "storage/production_queue.sqlite3" ]

  # The socket through which bin/hotswap reaches the application. If you change it, pass it to the command with
  # --socket or HOTSWAP_SOCKET.
  # config.hotswap.socket_path = "tmp/sockets/hotswap.sock"

  # The socket for status lines and errors. The default is beside the other one.
  # config.hotswap.stderr_socket_path = "tmp/sockets/hotswap.stderr.sock"

  # How long requests may be held up at a time, in seconds. A swap takes a few milliseconds.
  # config.hotswap.max_pause = 0.5

  # How long a push waits for a moment when no request is running before it gives up, in seconds. Requests go on in
  # the meantime.
  # config.hotswap.timeout = 30

  # Copying and checking run at a low priority. While every core is busy, a push takes about four times as long as on
  # an idle machine. With false it takes about twice as long, and competes with requests for the cores.
  # config.hotswap.low_priority = true

  # A push replaces the file. If that is impossible, or if another program such as Litestream has the file open, hotswap
  # writes the new content into the file: if that takes no longer than max_pause (:auto), always (:always), or it refuses
  # the push (:never).
  # config.hotswap.in_place = :auto
end

# The log that hotswap writes to. The default is Rails.logger.
# Hotswap.logger = Logger.new(Rails.root.join("log/hotswap.log"))

# Called in every process after a database was replaced, while requests go on. Clear what the application has derived
# from the old data, such as fragments whose keys have not changed.
# Hotswap.after_swap { |database| Rails.cache.clear }

# Called in every process while no request is running, before a database is replaced. Close your own connections to
# it; hotswap closes Active Record's.
# Hotswap.on_disconnect { |database| MyDatabase.disconnect }
