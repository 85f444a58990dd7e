# frozen_string_literal: true

module Hotswap
  # Has a refusal name the channel of Action Cable whose action is running, and not the thread that it runs in.
  module NamedCommand
    def perform_action(data)
      Gate.name_unit("command to #{self.class.name}") { super }
    end
  end
end
