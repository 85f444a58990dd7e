# frozen_string_literal: true

module Hotswap
  class Middleware
    # A response body whose unit leaves when the server closes it. Everything else is up to the original body, which
    # may be a proxy, a file, or a stream that responds to `call` and not to `each`.
    class Body
      def initialize(body, unit)
        @body = body
        @unit = unit
      end

      # A server may close a body that has closed itself in {to_ary}. Only the first call counts.
      def close
        return if @closed

        @closed = true
        begin
          @body.close if @body.respond_to?(:close)
        ensure
          @unit.finish
        end
      end

      # Most servers read a body with this method or {to_ary}. Through method_missing each would cost as much as the
      # gate.
      def each(&) = @body.each(&)

      # A body that returns an array has been read, and need not be closed. For a stream, Rails returns an
      # Enumerator, which has not been read yet.
      def to_ary
        answer = @body.to_ary
        close if answer.is_a?(Array)
        answer
      end

      # Asks the original body only when the server does: a body that wraps another one, as Rails' do, is slow to
      # answer.
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
