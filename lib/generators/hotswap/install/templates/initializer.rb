# frozen_string_literal: true

# Every setting is optional. Without any, hotswap manages every SQLite database of config/database.yml. Paths are
# relative to the application's root.
Rails.application.configure do
  # The databases to manage, if not all: one, or several. On the command line the first one is also called "database".
  # config.hotswap.database_path = "storage/production.sqlite3"
  # config.hotswap.database_paths = [ "storage/production.sqlite3", "storage/production_queue.sqlite3" ]

  # The socket by which bin/hotswap reaches the application. If you change it, tell the command by --socket or
  # HOTSWAP_SOCKET.
  # config.hotswap.socket_path = "tmp/sockets/hotswap.sock"

  # The socket for status and errors. By default it lies beside the other one.
  # config.hotswap.stderr_socket_path = "tmp/sockets/hotswap.stderr.sock"

  # The longest time that requests are held back at once, in seconds. A swap needs a few milliseconds.
  # config.hotswap.max_pause = 0.5

  # How long a push waits for a moment at which no request runs before it gives up, in seconds. Requests go on
  # meanwhile.
  # config.hotswap.timeout = 30

  # Copying and checking give way to the application. While every core is busy, a push takes about four times as long as
  # on an idle machine. With false it takes about twice as long, and competes with requests for the cores.
  # config.hotswap.low_priority = true

  # A push replaces the file. If that is impossible, or if another program such as Litestream has the file open, hotswap
  # writes the new content into the file: if that takes no longer than max_pause (:auto), always (:always), or it refuses
  # the push (:never).
  # config.hotswap.in_place = :auto
end

# The log that hotswap writes to. The default is Rails.logger.
# Hotswap.logger = Logger.new(Rails.root.join("log/hotswap.log"))

# Called in every process after a database was replaced, while requests go on. Drop here what the application made of
# the old data, such as fragments whose keys have not changed.
# Hotswap.after_swap { |database| Rails.cache.clear }

# Called in every process while no request runs, before a database is replaced. Close here your connections to it that
# are not Active Record's.
# Hotswap.on_disconnect { |database| MyDatabase.disconnect }
