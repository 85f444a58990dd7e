# frozen_string_literal: true

class Post < ApplicationRecord
  belongs_to :user
  # Deleted, not destroyed one by one: the transaction then begins with a write. One that begins with a read
  # and then wants to write fails at once with SQLITE_BUSY when another writer was faster.
  has_many :comments, dependent: :delete_all
end
