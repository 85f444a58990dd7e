# frozen_string_literal: true

require "mkmf"

unless RUBY_PLATFORM.include?("linux")
  abort <<~TEXT
    hotswap stands on Linux: on its file locks, leases and inotify. On other systems leave it out, in the Gemfile:

      gem "hotswap", install_if: -> { RUBY_PLATFORM.include?("linux") }
  TEXT
end

require "rb_sys/mkmf"

create_rust_makefile("hotswap/hotswap")
