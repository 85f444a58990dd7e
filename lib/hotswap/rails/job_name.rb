# frozen_string_literal: true

module Hotswap
  # Makes a refusal name the running job, instead of the thread that runs it.
  module NamedJob
    def perform_now
      Gate.name_unit("job #{self.class.name}") { super }
    end
  end
end
