# frozen_string_literal: true

# Its newest row names the data that this database holds, so an answer tells which database it came from.
class Release < ApplicationRecord
  def self.current = order(id: :desc).pick(:version)
end
