# frozen_string_literal: true

# What visitors write: each carries a token of its own, so that every acknowledged write can be looked for later.
class Item < ApplicationRecord
end
