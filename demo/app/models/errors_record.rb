# frozen_string_literal: true

class ErrorsRecord < ApplicationRecord
  self.abstract_class = true

  connects_to database: {writing: :errors}
end
