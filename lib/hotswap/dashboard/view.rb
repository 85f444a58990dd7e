# frozen_string_literal: true

require "hotswap/dashboard/words"

module Hotswap
  class Dashboard
    # What the pages have in common: the frame around them, and where they lead.
    class View
      # @param home [String] where the application has mounted the dashboard
      def initialize(home)
        @home = home
      end

      # @return [Template::Html] the whole page
      def to_s = layout

      private

      attr_reader :home

      def asset(name) = below(Assets.path(name))

      def below(path) = "#{home.delete_suffix("/")}/#{path}"

      # Whether the page shows news by itself.
      def refreshes? = false

      Template.define("layout", self)
    end
  end
end
