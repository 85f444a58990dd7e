# frozen_string_literal: true

require "hotswap/dashboard/card"
require "hotswap/dashboard/view"

module Hotswap
  class Dashboard
    # The page itself.
    class Overview < View
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

      def databases = facts.shown.map { |status| Card.new(status, facts.entries.fetch(status[:database], [])) }

      def left_out = facts.left_out

      Template.define("overview", self)
    end
  end
end
