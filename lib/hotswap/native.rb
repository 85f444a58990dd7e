# frozen_string_literal: true

# The extension: see ext/hotswap/src. Nothing but the files of this folder calls it.
begin
  begin
    # A precompiled gem brings one library for each version of Ruby.
    require "hotswap/#{RUBY_VERSION[/\d+\.\d+/]}/hotswap"
  rescue LoadError
    require "hotswap/hotswap"
  end
rescue LoadError => error
  raise LoadError, "hotswap's native extension cannot be loaded (#{error.message}). " \
    "Reinstall it for this Ruby with: gem pristine hotswap", cause: error
end

module Hotswap
  module Native
    # @return [String] the library itself, which a worker loads into SQLite as well
    def self.library
      @library ||= $LOADED_FEATURES.find { |feature| feature.end_with?("/hotswap/hotswap.so", "/hotswap/#{RUBY_VERSION[/\d+\.\d+/]}/hotswap.so") } #: String
    end
  end
end
