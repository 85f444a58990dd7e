# frozen_string_literal: true

module Hotswap
  # Closes, in a forked child, the ends of pipes through which this process feeds a command. While a child has one open,
  # the command does not see the end of its input.
  module ForkedPipes
    OPEN = [] # rubocop:disable Style/MutableConstant

    class << self
      def add(pipe) = OPEN << pipe

      def remove(pipe) = OPEN.delete(pipe)
    end

    def _fork
      super.tap { |pid| OPEN.each(&:close).clear if pid.zero? }
    end

    Process.singleton_class.prepend(self)
  end
end
