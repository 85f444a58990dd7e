# frozen_string_literal: true

module Hotswap
  # The state of this process, as far as it is in Ruby. {Hotswap} delegates to it. The rest, such as the gate, is in
  # ext/hotswap/src/runtime.rs.
  #
  # A forked child inherits this object. What only its parent has, such as a thread, is stamped with
  # {Native.generation}.
  class Runtime
    # @return [Connections] the connections to managed databases, and the on_disconnect blocks
    attr_reader :connections
    # @return [BeforeSwap] the before_swap blocks
    attr_reader :before_swap
    # @return [AfterSwap] the after_swap blocks
    attr_reader :after_swap
    # @return [Events] the programs that want to know what commands did
    attr_reader :events
    # @return [Probe] the block that tries a new database
    attr_reader :probe
    # @return [Metrics] what has been counted so far
    attr_reader :metrics
    # @return [Membership] the fleets that this process belongs to
    attr_reader :membership
    # @return [Host] the thread that answers native threads
    attr_reader :host
    # @return [Server] whether this process serves
    attr_reader :server
    attr_writer :logger
    # Used unless the application sets another one.
    # @return [Logger]
    attr_writer :default_logger

    # @param host [Host] a process has one mailbox, and one thread that empties it
    def initialize(host: Host.new)
      @host = host
      @connections = Connections.new
      @before_swap = BeforeSwap.new
      @after_swap = AfterSwap.new
      @events = Events.new
      @probe = Probe.new
      @metrics = Metrics.new
      @membership = Membership.new
      @server = Server.new
    end

    # @return [Configuration]
    def configuration
      @configuration ||= Configuration.new
    end

    # @return [Databases]
    def databases
      @databases ||= Databases.new
    end

    # @return [Logger]
    def logger
      @logger || default_logger
    end

    private

    def default_logger
      @default_logger ||= Logger.new($stdout, progname: Log::PROGRAM)
    end
  end
end
