# frozen_string_literal: true

module Hotswap
  # hotswap's lines in the application's log. Each begins with a tag that distinguishes it from the lines of
  # requests.
  module Log
    PROGRAM = "hotswap"
    TAG = "[#{PROGRAM}] "

    class << self
      # @param level [Symbol, String] :debug, :info, :warn or :error
      # @param text [String] is logged as one line, with control characters escaped
      def write(level, text)
        logger = Hotswap.logger
        tag = named_for_us?(logger) ? "" : TAG
        logger.public_send(level, "#{tag}#{Native.visible(text)}")
        nil
      end

      def debug(text) = write(:debug, text)

      def info(text) = write(:info, text)

      def warn(text) = write(:warn, text)

      def error(text) = write(:error, text)

      # Logs that something failed with an exception.
      # @param what [String] such as "after_swap of storage/production.sqlite3"
      # @param consequence [String, nil] what this means for the user: a sentence without its full stop
      def failure(what, exception, consequence = nil)
        error(["#{what} failed: #{summary(exception)} at #{exception.backtrace&.first}", consequence].compact.join(". "))
      end

      # @return [String] such as "no such cache (RuntimeError)"
      def summary(exception) = "#{Native.visible(exception.message.lines(chomp: true).first.to_s).strip} (#{exception.class})"

      private

      # Whether the logger already names hotswap in each line: the default logger does, and one of the application's
      # own may.
      def named_for_us?(logger)
        logger.respond_to?(:progname) && logger.progname == PROGRAM
      end
    end
  end
end
