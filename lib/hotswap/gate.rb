# frozen_string_literal: true

require "io/wait"
require "hotswap/gate/unit"
require "hotswap/gate/live_action_request"

module Hotswap
  # The gate of this process, as Ruby sees it: every unit of work passes it, and a swap closes it. A database of a
  # pattern has a gate of its own ({OfDatabase}, in ext/hotswap/src/database_gate.rs), which a unit enters with {use}.
  #
  # A unit inside another one (the executor inside the middleware, a Rack application inside a Rack application)
  # passes for free, because the outer one could not end otherwise. `inside?`, in ext/hotswap/src/unit.rs, tells
  # whether the caller is part of a unit.
  module Gate
    class << self
      # Enters. Waits while the gate is closed.
      # @param source what runs: a Rack environment, or any object whose to_s describes it in the log
      # @return [Unit, nil] the unit for {leave}; nil inside another unit
      # @raise [GateTimeout] if the gate stays closed for longer than any swap may take
      def enter(source)
        return if inside?

        unit = Unit.new(source)
        unit.enter
        unit
      end

      # Leaves, from any thread or fiber. A second call does nothing, nor does nil.
      def leave(unit)
        unit&.leave
      end

      # Enters for the duration of the block.
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

      # Enters for something that a unit inside may be waiting for, such as opening a database: this works while the
      # gate is closing, too.
      # @yieldparam unit [Unit, nil] nil if the caller is already inside another unit
      def open(source)
        return yield(nil) if inside? || Hotswap.runtime.host.current_thread?

        unit = Unit.new(source)
        begin
          unit.enter_while_closing
          yield unit
        ensure
          unit.leave
        end
      end

      # Enters the gate of a database for the caller's unit, or notes the use if the caller is in no unit. Every use of
      # a database of a pattern through Active Record calls this. Waits while the gate is closed.
      # @param gate [OfDatabase]
      # @param seen [Boolean] false if other units may use the same connection without a further call
      # @raise [GateTimeout] if the gate stays closed for longer than any swap may take
      def use(gate, seen: true)
        return if seen && gate.held?
        return if Hotswap.runtime.host.current_thread?

        unit = unit_here
        unit&.use(gate)
        wait_until(gate.descriptor) { gate.try_use_unseen != false } unless unit && seen && !unit.only_a_thread?
      end

      # @return [Unit, nil] as {unit_here}, unless the caller is inside Hotswap.release
      def current_unit
        unit_here unless Thread.current[:hotswap_released]
      end

      # @return [Unit, nil] the unit that the caller is part of, or the one whose response body the caller sends
      def unit_here
        unit = Thread.current[:hotswap_unit]
        return unit if unit&.current?

        sending = Thread.current[:hotswap_sending]
        sending if sending&.current?
      end

      # @return [Unit, nil] the unit of this thread, if the thread is inside Hotswap.release
      def released_unit(thread)
        thread[:hotswap_released]
      end

      # Names the caller's unit for the duration of the block, if it is known only by its thread so far.
      def name_unit(name, &block)
        unit = Thread.current[:hotswap_unit]
        return yield unless unit&.current? && unit.only_a_thread?

        unit.named(name, &block)
      end

      # @return [Array<String>] the units inside, the oldest first: "GET /reports for 4.2 s"
      def running
        units.map(&:to_s)
      end

      # @return [Array<Unit>] the units inside, the oldest first
      def units
        # Searches the heap: about 14 ms for a million objects. This runs only when a swap is late, while every request
        # would pay for a list (a WeakMap costs about as much as the gate).
        ObjectSpace.each_object(Unit).select(&:inside?).sort_by(&:age).reverse
      end

      # @return [Float] the longest time for which a swap may keep the gate or a fence closed, in seconds
      def longest_wait
        # A push may ask for a longer pause than the configured one.
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

      # Waits until the block returns true. Waits for a descriptor: a thread releases the interpreter, and a fiber lets
      # its reactor run others.
      # @param descriptor [Integer] readable while the gate is open
      # @raise [GateTimeout] if that takes longer than any swap may take
      def wait_until(descriptor)
        since = now
        until yield
          remaining = since + longest_wait - now
          raise GateTimeout, "hotswap is replacing the database, and that takes longer than any swap may take. Try again" if remaining.negative?

          IO.for_fd(descriptor, autoclose: false).wait_readable(remaining)
        end
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
