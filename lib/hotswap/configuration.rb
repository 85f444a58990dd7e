# frozen_string_literal: true

module Hotswap
  # The settings. In Rails they are `config.hotswap`, set in config/initializers/hotswap.rb.
  class Configuration
    SOCKET_PATH = "tmp/sockets/hotswap.sock"
    IN_PLACE = %w[auto always never].freeze
    PULLS = %w[plain redacted].freeze
    SETTINGS = %i[database_path database_paths socket_path stderr_socket_path max_pause timeout low_priority in_place max_shrink keep probe_timeout tables pull dashboard_actions root logger].freeze

    # @return [String, nil] the only managed database; in Rails all databases in database.yml are managed unless this
    # is set
    attr_reader :database_path
    # @return [Array<String>, nil] the managed databases, if there are several. A path may be a pattern, such as
    #   "storage/tenants/*/main.sqlite3"
    attr_accessor :database_paths
    # @return [String] relative to {#root}
    attr_accessor :socket_path
    # @return [String] relative to {#root}; the default is next to {#socket_path}
    attr_writer :stderr_socket_path
    # @return [String] the folder that relative paths are relative to
    attr_accessor :root
    # @return [Float] how long requests may be held up at a time, in seconds
    attr_reader :max_pause
    # @return [Float] how long a push waits for a moment when no unit is running, in seconds
    attr_reader :timeout
    # @return [Boolean] whether copying and checking run at a low priority; with false they are faster
    attr_reader :low_priority
    # @return [String] "auto", "always" or "never": whether a push may write into the live file instead of replacing it
    attr_reader :in_place
    # @return [Float] how long a probe may take, in seconds
    attr_reader :probe_timeout
    # @return [Integer] how many previous versions of a database stay next to it
    attr_reader :keep
    # @return [Float, nil] how many percent of its rows a table may lose in a push; nil means all of them
    attr_reader :max_shrink
    # @return [Hash{String => Array<String>}] lists of tables, for "@name" in the options only and except
    attr_reader :tables
    # @return [String] "plain" or "redacted": whether clients other than root get only a redacted copy
    attr_reader :pull
    # @return [Redaction] the rules and files of {redact} and {redact_with}
    # @api private
    attr_reader :redaction
    # @return [Boolean] whether {Dashboard} has a button for a rollback
    attr_reader :dashboard_actions

    def initialize
      @socket_path = SOCKET_PATH
      @root = FileName.current_folder || "/"
      @max_pause = 0.5
      @timeout = 30.0
      @low_priority = true
      @in_place = "auto"
      @keep = 1
      @tables = {}
      @pull = "plain"
      @redaction = Redaction.new
      @probe_timeout = 30.0
      @dashboard_actions = false
    end

    # Manages this database instead of those that were registered before.
    def database_path=(path)
      @database_path = path
      return unless path

      Hotswap.databases.clear
      Hotswap.register(path)
    end

    def max_pause=(seconds)
      @max_pause = seconds!(:max_pause, seconds)
    end

    def timeout=(seconds)
      @timeout = seconds!(:timeout, seconds)
    end

    def probe_timeout=(seconds)
      @probe_timeout = seconds!(:probe_timeout, seconds)
    end

    def low_priority=(choice)
      @low_priority = boolean!(:low_priority, choice)
    end

    def dashboard_actions=(choice)
      @dashboard_actions = boolean!(:dashboard_actions, choice)
    end

    # The value of `--in-place` if a command does not pass it.
    def in_place=(choice)
      unless IN_PLACE.include?(choice.to_s)
        raise ConfigurationError, "config.hotswap.in_place must be one of #{IN_PLACE.join(", ")}, not #{choice.inspect}"
      end

      @in_place = choice.to_s
    end

    def keep=(count)
      raise ConfigurationError, "config.hotswap.keep must be a number of versions from 0 to 100, not #{count.inspect}" unless count.is_a?(Integer) && count.between?(0, 100)

      @keep = count
    end

    # The value of `--max-shrink` if a command does not pass it.
    # @param percent [String, Numeric, nil] such as "50%"
    def max_shrink=(percent)
      part = Float(percent.to_s.delete_suffix("%"), exception: false)
      unless percent.nil? || part&.between?(0, 100)
        raise ConfigurationError, "config.hotswap.max_shrink must be a percentage from 0% to 100%, not #{percent.inspect}"
      end

      @max_shrink = part
    end

    # @param groups [Hash] such as {content: ["articles", "tag*"]}
    def tables=(groups)
      valid = groups.is_a?(Hash) && groups.all? do |_, tables|
        tables.is_a?(Array) && tables.any? && tables.all? { |table| table.to_s.match?(/\A[^@]/) }
      end
      raise ConfigurationError, "config.hotswap.tables must be lists of tables by name, as in {content: [\"articles\", \"tag*\"]}, not #{groups.inspect}" unless valid

      @tables = groups.to_h { |name, tables| [name.to_s, tables.map(&:to_s)] }
    end

    def pull=(kind)
      raise ConfigurationError, "config.hotswap.pull must be one of #{PULLS.join(", ")}, not #{kind.inspect}" unless PULLS.include?(kind.to_s)

      @pull = kind.to_s
    end

    # Adds a rule for a redacted pull: SQL expressions that replace the values of columns, or :rows for no rows at all.
    # An expression sees the other columns of its row.
    #
    #   config.hotswap.redact "users", email: "'user' || id || '@example.com'", phone: nil
    #   config.hotswap.redact "sessions", :rows
    # @param table [String, Symbol] the name of a table, or a pattern such as "tag*"
    # @param what [:rows, Hash, nil] a Hash is for a column that is named database: {"database" => "'x'"}
    # @param database [String, Symbol, nil] the name of the database, if it is not the first one
    def redact(table, what = nil, database: nil, **columns)
      redaction.add_rule(table, what, columns, database)
    end

    # Adds a file of SQL statements, which run on the redacted copy.
    # @param path [String, Pathname] relative to {#root}
    # @param database [String, Symbol, nil] the name of the database, if it is not the first one
    def redact_with(path, database: nil)
      redaction.add_script(path, database)
    end

    # @return [String] the default for hotswap.sock is hotswap.stderr.sock
    def stderr_socket_path
      chosen = @stderr_socket_path
      return chosen if chosen

      path = socket_path.to_s
      path.end_with?(".sock") ? "#{path.delete_suffix(".sock")}.stderr.sock" : "#{path}.stderr"
    end

    # @return [String]
    def absolute_socket_path
      FileName.expand(socket_path, root)
    end

    # @return [String]
    def absolute_stderr_socket_path
      FileName.expand(stderr_socket_path, root)
    end

    # Registers a block that gets the name and the payload of every event, also without Active Support: push.hotswap,
    # pull.hotswap, rollback.hotswap and refused.hotswap in the process that serves, swap.hotswap in every process.
    # @yieldparam name [String]
    # @yieldparam payload [Hash]
    def on_event(&block) = Hotswap.runtime.events.register(block)

    # Registers the block that tells after a push whether the application works with the new database. It runs in the
    # process that serves, in a thread of its own. If it returns nil or false, raises, or takes longer than
    # {#probe_timeout}, the push goes back to the previous version.
    # @yieldparam database [Database]
    def probe(&block) = Hotswap.runtime.probe.register(block)

    # See {Hotswap.logger}.
    def logger = Hotswap.logger

    # See {Hotswap.logger=}.
    def logger=(logger)
      Hotswap.logger = logger
    end

    # See {Hotswap.register}.
    def register(...) = Hotswap.register(...)

    # See {Hotswap.databases}.
    def databases = Hotswap.databases

    # See {Hotswap.find_database}.
    def find_database(path) = Hotswap.find_database(path)

    # @param setting [Symbol, String]
    def [](setting)
      public_send(known!(setting))
    end

    # @param setting [Symbol, String]
    def []=(setting, value)
      public_send(:"#{known!(setting)}=", value)
    end

    # @return [Array<String>] the configured databases; empty if hotswap has to find them
    def chosen_databases
      [*database_path, *database_paths].map(&:to_s)
    end

    private

    # A setting that does not exist, read or written.
    def method_missing(name, ...)
      known!(name.to_s.delete_suffix("="))
      super
    end

    def respond_to_missing?(*) = false

    def known!(setting)
      return setting if SETTINGS.include?(setting.to_sym)

      raise ConfigurationError, "config.hotswap has no setting #{setting}. The settings are #{SETTINGS.join(", ")}"
    end

    def boolean!(setting, choice)
      return choice if [true, false].include?(choice)

      raise ConfigurationError, "config.hotswap.#{setting} must be true or false, not #{choice.inspect}"
    end

    def seconds!(setting, seconds)
      value = Float(seconds, exception: false)
      return value if value&.positive? && value.finite?

      raise ConfigurationError, "config.hotswap.#{setting} must be a number of seconds above zero, not #{seconds.inspect}"
    end
  end
end
