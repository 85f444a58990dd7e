# frozen_string_literal: true

require "json"

module Hotswap
  # What commands did, for programs that count or report it: to ActiveSupport::Notifications, where that is loaded, and
  # to the blocks of `config.on_event`.
  #
  # The leader's process gets the events push.hotswap, pull.hotswap, rollback.hotswap and refused.hotswap. Their payload
  # is the entry of the record (docs/json.md), with the {Database} as :database. Every process that has the database
  # open gets swap.hotswap.
  class Events
    # The name of the event for each event of the record. A command that failed is told like one that was refused.
    NAMES = {"push" => "push.hotswap", "pull" => "pull.hotswap", "rollback" => "rollback.hotswap",
             "refused" => "refused.hotswap", "failed" => "refused.hotswap"}.freeze

    def initialize
      @blocks = []
      @one_after_the_other = Mutex.new
    end

    # See {Configuration#on_event}.
    def register(block)
      raise ArgumentError, "on_event needs a block" unless block

      @blocks << block
    end

    # @param name [String]
    # @return [Boolean] whether any program wants to know
    def wanted?(name)
      @blocks.any? || (notifications? && ActiveSupport::Notifications.notifier.listening?(name))
    end

    # Tells the programs. An exception of one is logged.
    # @param name [String]
    # @param payload [Hash]
    def tell(name, payload)
      guarded(name) { ActiveSupport::Notifications.instrument(name, payload) } if notifications?
      @blocks.each { |block| guarded(name) { block.call(name, payload) } }
    end

    # Starts a thread that tells what a command did. Neither the log nor a swap waits for a subscriber.
    # @param json [String] an entry of the record
    # @return [Thread, nil]
    def tell_beside(json)
      entry = JSON.parse(json, symbolize_names: true)
      name = NAMES[entry[:event]]
      return unless name && wanted?(name)

      database = Hotswap.databases.labelled(entry[:database])
      thread = Thread.new { @one_after_the_other.synchronize { tell(name, entry.except(:sequence).merge(database: database)) } }
      thread.name = "hotswap-events"
      thread.thread_variable_set(:fork_safe, true)
      thread
    end

    private

    def notifications? = defined?(ActiveSupport::Notifications)

    def guarded(name)
      yield
    rescue StandardError, ScriptError => error
      Log.failure("a subscriber of #{name}", error)
    end
  end
end
