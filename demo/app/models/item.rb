# frozen_string_literal: true

# What visitors and jobs write. Each item has its own token, so that every acknowledged write can be looked for
# later.
class Item < ApplicationRecord
  # One statement writes the item and reads the version, so the answer names the same database that received the
  # item. With Rails 7.2 a transaction of several statements would make threads wait for each other inside SQLite,
  # while they hold the interpreter.
  WRITTEN = "id, token, (SELECT version FROM releases ORDER BY id DESC LIMIT 1) AS version"

  # Returns id, token and version.
  def self.write!(item) = insert!(item, returning: Arel.sql(WRITTEN)).to_a.first
end
