# frozen_string_literal: true

module Hotswap
  # A `file:` URI as SQLite reads it. <https://www.sqlite.org/uri.html>
  class FileUri
    # @param name [String] the name that a connection is opened with, in any encoding
    # @return [FileUri, nil] nil for a plain path
    def self.parse(name)
      name = FileName.utf8(name)
      new(name) if name.start_with?("file:")
    end

    # @return [Hash{String => String}] the parameters; if one appears twice, the last value counts
    attr_reader :parameters

    def initialize(uri)
      path, query = uri.b.delete_prefix("file:").sub(/#.*/m, "").split("?", 2)
      @path = decode(path.to_s.sub(%r{\A//[^/]*}, ""))
      @parameters = query.to_s.split("&").to_h { |parameter| parameter.split("=", 2).then { |name, value| [decode(name.to_s), decode(value.to_s)] } }
    end

    # @return [String, nil] nil if the URI names a database in memory
    def absolute_path
      return if @path.empty? || @path.start_with?(":memory:") || parameters["mode"] == "memory" || parameters["vfs"] == "memdb"

      # Without a current folder, a relative path names no file.
      FileName.expand(@path, FileName.current_folder || File::NULL)
    end

    # Why a worker, which opens the file by its plain path, cannot copy it safely.
    # @param vfs [String, nil] the VFS that the connection asks for besides the name
    # @return [String, nil]
    def self.objection(name, vfs = nil)
      asked = parse(name)&.parameters || {}
      vfs ||= asked["vfs"]
      if vfs && vfs != "unix"
        "vfs=#{vfs} makes SQLite lock the file differently from hotswap, so neither would wait for the other"
      elsif on?(asked["nolock"])
        "nolock=1 turns off SQLite's locks, so a copy could read an unfinished transaction and roll it back"
      elsif on?(asked["immutable"])
        "immutable=1 tells SQLite that the file never changes, but a push changes it"
      end
    end

    # Whether SQLite treats the value as true. It does so with values that it does not know.
    def self.on?(value) = !value.nil? && !value.match?(/\A(0*|no|off|false)\z/i)
    private_class_method :on?

    private

    # Decodes %xx into a byte.
    def decode(text) = text.gsub(/%\h\h/) { |code| code.delete_prefix("%").hex.chr }.force_encoding(Encoding::UTF_8)
  end
end
