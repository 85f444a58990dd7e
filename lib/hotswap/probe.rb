# frozen_string_literal: true

require "timeout"

module Hotswap
  # The block of `config.probe`, which tells after a push whether the application works with the new database.
  class Probe
    # The block took too long. The application's own code must not rescue this.
    class Late < Exception # rubocop:disable Lint/InheritException
    end

    # See {Configuration#probe}.
    def register(block)
      raise ArgumentError, "config.hotswap.probe needs a block, as in config.hotswap.probe { |database| Article.any? }" unless block

      @block = block
    end

    # In a process without the application, the block would fail for that reason.
    def forget
      @block = nil
    end

    # @return [Boolean] whether there is a block
    def any? = !@block.nil?

    # Starts a thread that runs the block, and yields why it failed, or nil.
    # @param database [Database] the database that was replaced
    # @param timeout [Float] in seconds
    # @return [Thread]
    def run_beside(database, timeout)
      thread = Thread.new { yield failure(database, timeout) }
      thread.name = "hotswap-probe"
      thread.thread_variable_set(:fork_safe, true)
      thread
    end

    private

    def failure(database, timeout)
      good = Timeout.timeout(timeout, Late) { run(database) }
      "config.hotswap.probe returned #{good.inspect}" unless good
    rescue Late
      "config.hotswap.probe took longer than #{timeout.round(3).to_s.delete_suffix(".0")} s"
    rescue StandardError, ScriptError => error
      "config.hotswap.probe raised #{error.class}: #{Native.visible(error.message.lines(chomp: true).first.to_s).strip}"
    end

    # Not as a unit of work: a push of another database would wait until the block has ended.
    def run(database)
      @block&.call(database)
    ensure
      ActiveRecordConnections.let_go if ActiveRecordConnections.loaded?
    end
  end
end
