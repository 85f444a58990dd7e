# frozen_string_literal: true

module Hotswap
  class Middleware
    # A response body that gives its request's pass back when the server closes it. Everything else goes to the
    # body itself, which may be an array, a file or a stream.
    class Body
      def initialize(body, pass)
        @body = body
        @pass = pass
      end

      def close
        @body.close if @body.respond_to?(:close)
      ensure
        Gate.leave(@pass)
      end

      def each(&block)
        @body.each(&block)
      end

      def respond_to_missing?(name, include_all = false)
        @body.respond_to?(name, include_all)
      end

      # A body with to_ary is read at once, and need not be closed.
      def method_missing(name, *arguments, &block)
        return super unless @body.respond_to?(name)
        return @body.public_send(name, *arguments, &block) unless name == :to_ary

        begin
          @body.to_ary
        ensure
          close
        end
      end
    end
  end
end
