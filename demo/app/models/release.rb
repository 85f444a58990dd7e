# frozen_string_literal: true

# The newest row names the data in this database, so an answer shows which database it came from.
class Release < ApplicationRecord
  def self.current = order(id: :desc).pick(:version)
end
