# frozen_string_literal: true

module Hotswap
  # Has a refusal name the job that is running, and not the thread that it runs in.
  module NamedJob
    def perform_now
      Gate.name_unit("job #{self.class.name}") { super }
    end
  end
end
