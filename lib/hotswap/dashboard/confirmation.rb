# frozen_string_literal: true

require "hotswap/dashboard/view"

module Hotswap
  class Dashboard
    # Asks before a rollback: a page of its own, so that it needs no script and does not reload.
    class Confirmation < View
      # @param token [String] for the form
      # @param error [String, nil] why the rollback that the user has asked for failed
      def initialize(database, token, home, error = nil)
        super(home)
        @database = database
        @token = token
        @error = error
      end

      private

      def content = confirmation

      attr_reader :token, :error

      def title = "Roll back #{label}: hotswap"

      def label = @database.label

      def id = Dashboard.id(label)

      Template.define("confirmation", self)
    end
  end
end
