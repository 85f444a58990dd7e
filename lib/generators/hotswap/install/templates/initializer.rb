# frozen_string_literal: true

# Every setting is optional. The lines below show the defaults. Without any setting, hotswap manages every SQLite
# database in config/database.yml. Paths are relative to the application's root.
Rails.application.configure do
  # The databases to manage, if not all of them. On the command line, "database" means the first one. A path may be a
  # pattern, such as "storage/tenants/*/main.sqlite3", for databases that the application creates while it runs.
  # config.hotswap.database_path = "storage/production.sqlite3"
  # config.hotswap.database_paths = [ "storage/production.sqlite3", "storage/production_queue.sqlite3" ]

  # The socket through which bin/hotswap reaches the application. If you change it, pass it to the command with
  # --socket or HOTSWAP_SOCKET.
  # config.hotswap.socket_path = "tmp/sockets/hotswap.sock"

  # The socket for status lines and errors. By default it is next to the other socket.
  # config.hotswap.stderr_socket_path = "tmp/sockets/hotswap.stderr.sock"

  # For how many seconds a swap may hold requests at a time. It usually takes a few milliseconds.
  # config.hotswap.max_pause = 0.5

  # After how many seconds a push gives up if the application stays busy. Requests continue while the push waits.
  # config.hotswap.timeout = 30

  # Whether copying and checking give way to requests. While every core is busy, a push then takes about four times as
  # long as on an idle machine. With false it takes about twice as long, and competes with requests.
  # config.hotswap.low_priority = true

  # Normally a push replaces the file. If it cannot, or if another program such as Litestream has the file open, hotswap
  # writes the new content into the file: :auto if that takes no longer than max_pause, :always in any case. With :never
  # it refuses the push.
  # config.hotswap.in_place = :auto

  # How many previous versions of a database stay next to it, for bin/hotswap rollback. Each one takes as much space as
  # the database. With 0, a push keeps none.
  # config.hotswap.keep = 1

  # Tries the application after each push. If the block returns nil or false, raises, or takes longer than probe_timeout
  # (in seconds), the push goes back to the previous version.
  # config.hotswap.probe { |database| Article.any? }
  # config.hotswap.probe_timeout = 30

  # The largest share of its rows that a table may lose in a push, such as "50%". If you set it, every push counts all
  # rows.
  # config.hotswap.max_shrink = nil

  # Names for lists of tables, for --only @content and --except @private.
  # config.hotswap.tables = { content: [ "articles", "tag*" ], private: [ "users", "sessions" ] }

  # What bin/hotswap cp DATABASE FILE --redacted replaces with the value of an SQL expression, or leaves out. If pull
  # is :redacted, clients other than root get only redacted copies.
  # config.hotswap.redact "users", email: "'user' || id || '@example.com'", password_digest: "'x'", phone: nil
  # config.hotswap.redact "sessions", :rows
  # config.hotswap.redact_with "db/redact.sql"
  # config.hotswap.pull = :plain

  # Whether the dashboard, if you mount it, has a button that rolls a database back.
  # config.hotswap.dashboard_actions = false

  # Gets the name and the payload of every event, such as push.hotswap or refused.hotswap, for your monitoring.
  # config.hotswap.on_event { |name, payload| Rails.logger.info(name) }
end

# Where hotswap logs. The default is Rails.logger.
# Hotswap.logger = Logger.new(Rails.root.join("log/hotswap.log"))

# Runs in every process before a swap, while requests continue. The swap waits for it for a second at most.
# Hotswap.before_swap { |database| Rails.logger.info("a swap of #{database.name} begins") }

# Runs in every process after a swap, while requests continue. Clear what your application derived from the old data,
# such as cached fragments.
# Hotswap.after_swap { |database| Rails.cache.clear }

# Runs in every process before a swap, when no request is running. Close the connections that you opened yourself;
# hotswap closes Active Record's.
# Hotswap.on_disconnect { |database| MyDatabase.disconnect }
