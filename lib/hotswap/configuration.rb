# frozen_string_literal: true

module Hotswap
  # The settings. In Rails they are `config.hotswap`, set in config/initializers/hotswap.rb.
  class Configuration
    SOCKET_PATH = "tmp/sockets/hotswap.sock"
    IN_PLACE = %w[auto always never].freeze

    # @return [String, nil] the one managed database; in Rails all of database.yml are, unless this is set
    attr_accessor :database_path
    # @return [Array<String>, nil] the managed databases, where there are several
    attr_accessor :database_paths
    # @return [String] relative to {#root}
    attr_accessor :socket_path
    # @return [String] relative to {#root}; beside {#socket_path} unless it is set
    attr_writer :stderr_socket_path
    # @return [String] what relative paths are relative to
    attr_accessor :root
    # @return [Float] seconds for which requests may be held back at a time
    attr_reader :max_pause
    # @return [Float] seconds after which a swap that finds no quiet moment is given up
    attr_reader :timeout
    # @return [Boolean] whether copying and checking give way to the application; false where haste matters more
    attr_reader :low_priority
    # @return [String] "auto", "always" or "never": whether a push may write into the live file instead of replacing it
    attr_reader :in_place

    def initialize
      @socket_path = SOCKET_PATH
      @root = FileName.current_folder || "/"
      @max_pause = 0.5
      @timeout = 30.0
      @low_priority = true
      @in_place = "auto"
    end

    def max_pause=(seconds)
      @max_pause = seconds!(:max_pause, seconds)
    end

    def timeout=(seconds)
      @timeout = seconds!(:timeout, seconds)
    end

    def low_priority=(choice)
      raise ConfigurationError, "config.hotswap.low_priority is true or false, not #{choice.inspect}" unless [true, false].include?(choice)

      @low_priority = choice
    end

    # What `--in-place` is where a command does not say.
    def in_place=(choice)
      unless IN_PLACE.include?(choice.to_s)
        raise ConfigurationError, "config.hotswap.in_place is one of #{IN_PLACE.join(", ")}, not #{choice.inspect}"
      end

      @in_place = choice.to_s
    end

    # @return [String] by default hotswap.stderr.sock for hotswap.sock
    def stderr_socket_path
      return @stderr_socket_path if @stderr_socket_path

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

    # @return [Array<String>] the databases that were set, none if it is left to us to find them
    def chosen_databases
      [*database_path, *database_paths].map(&:to_s)
    end

    private

    def seconds!(setting, seconds)
      value = Float(seconds, exception: false)
      return value if value&.positive? && value.finite?

      raise ConfigurationError, "config.hotswap.#{setting} is a number of seconds above zero, not #{seconds.inspect}"
    end
  end
end
