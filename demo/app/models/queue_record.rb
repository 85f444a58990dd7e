# frozen_string_literal: true

class QueueRecord < ApplicationRecord
  self.abstract_class = true

  connects_to database: {writing: :queue}
end
