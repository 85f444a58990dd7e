# frozen_string_literal: true

require "hotswap/gate/unit"
require "hotswap/gate/waiting_request"

module Hotswap
  # The gate of this process, as Ruby sees it: every unit of work passes it, a swap closes it.
  #
  # A unit inside another one (the executor inside the middleware, a rack application inside a rack
  # application) passes for free: the outer one could not end otherwise. Whether the caller is part of one says
  # `inside?`, from ext/hotswap/src/unit.rs.
  module Gate
    class << self
      # Enters, and waits while the gate is closed.
      # @param source what runs: a Rack environment, or anything whose to_s tells a reader of a log
      # @return [Unit, nil] what {leave} takes; nil inside another unit
      # @raise [GateTimeout] if it stays closed for longer than any swap may take
      def enter(source)
        return if inside?

        unit = Unit.new(source)
        unit.enter
        unit
      end

      # Leaves, from any thread or fiber; the second time, and with nil, does nothing.
      def leave(unit)
        unit&.leave
      end

      # Enters for the length of the block.
      def pass(source)
        return yield if inside?

        unit = Unit.new(source)
        begin
          unit.enter
          yield
        ensure
          unit.leave
        end
      end

      # Enters for what a request that is to end may be waiting for, such as the opening of a database: also while
      # the gate is closing.
      # @yieldparam unit [Unit, nil] nil if the caller is already inside another unit
      def open(source)
        return yield if inside? || Host.current_thread?

        unit = Unit.new(source)
        begin
          unit.enter_while_closing
          yield unit
        ensure
          unit.leave
        end
      end

      # @return [Unit, nil] the unit that the caller is part of, or the one whose response body the caller sends
      def current_unit
        return if Thread.current[:hotswap_released]

        unit = Thread.current[:hotswap_unit]
        return unit if unit&.current?

        sending = Thread.current[:hotswap_sending]
        sending if sending&.current?
      end

      # @return [Unit, nil] the unit of this thread, if the thread is inside Hotswap.release
      def released_unit(thread)
        thread[:hotswap_released]
      end

      # Has the unit that the caller is part of told of by this name for the length of the block, if all that is
      # known of it so far is its thread.
      def name_unit(name, &block)
        unit = Thread.current[:hotswap_unit]
        return yield unless unit&.current? && unit.source.is_a?(Thread)

        unit.named(name, &block)
      end

      # @return [Array<String>] what is inside, the oldest first: "GET /reports for 4.2 s"
      def running
        units.map(&:to_s)
      end

      # @return [Array<Unit>] those that are inside, the oldest first
      def units
        # Looked for in the heap: this is asked when a swap is late, and a list would be paid for by every request.
        ObjectSpace.each_object(Unit).select(&:inside?).sort_by(&:age).reverse
      end

      # @return [Float] seconds after which no swap can be the reason why the gate, or a fence, is closed
      def longest_wait
        # A push may have asked for a longer pause than is configured.
        ([Hotswap.configuration.max_pause, Native.longest_pause].max * 4) + 5
      end

      # @return [String]
      def describe(source)
        case source
        when Hash then "#{source["REQUEST_METHOD"]} #{source["PATH_INFO"]}"
        when Thread then "work in #{source.name || "a thread"}"
        else source.to_s
        end
      end

      # @return [IO] readable while the gate is open. For units only.
      def open_signal
        return @open_signal if @open_signal_generation == Native.generation

        # In this order: another thread that looks in between must not get the signal of the parent's gate.
        @open_signal = IO.for_fd(Native.gate_descriptor, autoclose: false)
        @open_signal_generation = Native.generation
        @open_signal
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
