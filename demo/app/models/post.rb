# frozen_string_literal: true

class Post < ApplicationRecord
  belongs_to :user
  # The comments are deleted, not destroyed one by one, so that the transaction begins with a write. A transaction
  # that begins with a read and then writes fails at once with SQLITE_BUSY if another writer was faster.
  has_many :comments, dependent: :delete_all
end
