# frozen_string_literal: true

module Hotswap
  VERSION = "1.0.0"
end
