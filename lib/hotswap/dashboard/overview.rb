# frozen_string_literal: true

require "hotswap/dashboard/card"
require "hotswap/dashboard/view"

module Hotswap
  class Dashboard
    # The page itself.
    class Overview < View
      # How many databases the page shows. An application may have thousands.
      MOST = 50

      # @param facts [Snapshot::Facts]
      # @param actions [Boolean] whether it offers a rollback
      def initialize(facts, home, actions)
        super(home)
        @facts = facts
        @actions = actions
      end

      private

      attr_reader :facts

      def actions? = @actions

      def content = overview

      def title = "hotswap"

      def refreshes? = true

      # If there are too many, those with a running command come first.
      def databases
        shown = left_out.positive? ? statuses.partition { |status| status[:commands]&.any? }.flatten(1) : statuses
        shown.first(MOST).map { |status| Card.new(status, facts.entries.fetch(status[:database], [])) }
      end

      def left_out = [statuses.size - MOST, 0].max

      def statuses = facts.status.fetch(:databases)

      Template.define("overview", self)
    end
  end
end
