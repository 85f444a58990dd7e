# frozen_string_literal: true

module Hotswap
  VERSION = "0.1.0"
end
