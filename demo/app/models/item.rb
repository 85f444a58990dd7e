# frozen_string_literal: true

# What visitors and jobs write: each carries a token of its own, so that every acknowledged write can be looked for later.
class Item < ApplicationRecord
  # One statement writes and reads the version, so the answer names the very database that took the item. With
  # Rails 7.2 a transaction of several would make threads wait for each other inside SQLite, the interpreter held.
  WRITTEN = "id, token, (SELECT version FROM releases ORDER BY id DESC LIMIT 1) AS version"

  # Answers id, token and version.
  def self.write!(item) = insert!(item, returning: Arel.sql(WRITTEN)).to_a.first
end
