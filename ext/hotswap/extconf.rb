# frozen_string_literal: true

require "rbconfig"

# The requirements for compiling the extension. They are checked first: without libclang the build would fail only
# after minutes, with an error from Rust.
module Requirements
  # Where Rust's bindgen looks for libclang, besides LIBCLANG_PATH and llvm-config: on Linux, and on macOS.
  LIBRARY_FOLDERS = %w[/Library/Developer/CommandLineTools/usr/lib /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib
    /opt/homebrew/opt/llvm/lib /usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib* /usr/lib*/*/* /usr/lib*/* /usr/lib*].freeze
  LIBCLANG = "libclang{.so,-*.so,.so.*,-*.so.*,.dylib}"

  class << self
    # @return [Array<String>] one line for each missing requirement
    def missing = [rust, libclang, headers].compact

    private

    def rust
      cargo = ENV.fetch("CARGO", "cargo")
      version = output_of(cargo, "--version")[/\Acargo (\d+\.\d+)/, 1]
      return if ENV["RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN"] || (version && Gem::Version.new(version) >= Gem::Version.new("1.85"))

      "Rust 1.85 or newer (https://rustup.rs): #{version ? "#{cargo} is #{version}" : "#{cargo} cannot be run"}"
    end

    def libclang
      return if library_folders.any? { |folder| Dir.glob(LIBCLANG, base: folder).grep_v(/-cpp\./).any? }

      where = ENV["LIBCLANG_PATH"] ? " in LIBCLANG_PATH, #{ENV["LIBCLANG_PATH"]}" : ""
      "libclang (Debian: apt-get install libclang-dev; Fedora: dnf install clang-devel; Alpine: apk add clang-dev; macOS: xcode-select --install): none was found#{where}"
    end

    # If LIBCLANG_PATH is set, bindgen looks nowhere else. It may name the folder or the file.
    def library_folders
      if (path = ENV["LIBCLANG_PATH"])
        return [File.file?(path) ? File.dirname(path) : path]
      end

      prefix = output_of(ENV.fetch("LLVM_CONFIG_PATH", "llvm-config"), "--prefix").lines.first&.chomp
      of_llvm = prefix ? %w[bin lib lib64].map { |name| File.join(prefix, name) } : []
      of_linkers = %w[LD_LIBRARY_PATH LIBRARY_PATH].flat_map { |name| ENV.fetch(name, "").split(File::PATH_SEPARATOR) }
      of_llvm + of_linkers + Dir.glob(LIBRARY_FOLDERS)
    end

    def headers
      header = File.join(RbConfig::CONFIG["rubyhdrdir"].to_s, "ruby.h")
      return if File.exist?(header)

      "Ruby's headers (Debian: apt-get install ruby-dev; Fedora: dnf install ruby-devel; Alpine: apk add ruby-dev): #{header} does not exist"
    end

    def output_of(*command)
      IO.popen(command, err: File::NULL, &:read)
    rescue SystemCallError
      ""
    end
  end
end

unless RUBY_PLATFORM.match?(/linux|darwin/)
  abort "hotswap runs on Linux and, for development, on macOS. #{RUBY_PLATFORM} is neither: leave hotswap out of the Gemfile there."
end

missing = Requirements.missing
unless missing.empty?
  abort <<~TEXT
    hotswap compiles a Rust extension. This machine lacks what that needs:

    #{missing.map { |line| "- #{line}" }.join("\n")}

    Install it and try again. The precompiled gems (x86_64 and aarch64) need none of it.
  TEXT
end

require "mkmf"
require "rb_sys/mkmf"

create_rust_makefile("hotswap/hotswap") do |builder|
  # The backend that needs only what every Unix has. On Linux it is there for its specs.
  builder.features = ["portable"] if ENV["HOTSWAP_BACKEND"] == "portable"
end
