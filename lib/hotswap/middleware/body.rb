# frozen_string_literal: true

module Hotswap
  class Middleware
    # A response body whose unit leaves when the server closes it. Everything else is up to the body itself,
    # which may be an array, a file, or a stream that knows `call` and not `each`.
    class Body
      def initialize(body, unit)
        @body = body
        @unit = unit
      end

      # Servers may close a body that closed itself in {to_ary}: only the first time counts.
      def close
        return if @closed

        @closed = true
        begin
          @body.close if @body.respond_to?(:close)
        ensure
          @unit.finish
        end
      end

      # As nearly all are read: by way of method_missing this and {to_ary} would cost as much as the gate.
      def each(&) = @body.each(&)

      # A body that gives its array away is read, and need not be closed. Rails answers an Enumerator for a stream,
      # which is yet to be read.
      def to_ary
        answer = @body.to_ary
        close if answer.is_a?(Array)
        answer
      end

      # Not asked before a server wants to know: a body that wraps another one, as Rails' do, takes its time to answer.
      def respond_to?(name, include_all = false)
        (name == :each || name == :to_ary) ? @body.respond_to?(name, include_all) : super
      end

      def respond_to_missing?(name, include_all = false)
        @body.respond_to?(name, include_all)
      end

      def method_missing(name, ...)
        return super unless @body.respond_to?(name)

        @body.public_send(name, ...)
      end
    end
  end
end
