# frozen_string_literal: true

# The extension: see ext/hotswap/src. Only the files in this folder call it.
begin
  begin
    # A precompiled gem contains one library for each version of Ruby.
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
    # @return [String] the path of the library, which a worker also loads into SQLite
    def self.library
      file = "hotswap.#{RbConfig::CONFIG["DLEXT"]}"
      @library ||= $LOADED_FEATURES.find { |feature| feature.end_with?("/hotswap/#{file}", "/hotswap/#{RUBY_VERSION[/\d+\.\d+/]}/#{file}") } #: String
    end
  end
end
