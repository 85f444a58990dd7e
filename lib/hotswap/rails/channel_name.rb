# frozen_string_literal: true

module Hotswap
  # Makes a refusal name the Action Cable channel whose action is running, instead of the thread that runs it.
  module NamedCommand
    def perform_action(data)
      Gate.name_unit("command to #{self.class.name}") { super }
    end
  end
end
