# frozen_string_literal: true

module Hotswap
  # One managed database.
  class Database
    # @return [String] as configured
    attr_reader :path
    # @return [String, nil] its name in database.yml
    attr_reader :name
    # @return [Array<String>] the extensions that its connections load
    attr_reader :extensions

    # The absolute path of what Active Record, Sequel or the sqlite3 gem call a database: a path, a Pathname, or
    # a file: URI. Symlinks are not resolved.
    # @return [String, nil] nil for a database in memory
    def self.absolute_path(name, root = Hotswap.configuration.root)
      name = name.to_s.encode(Encoding::UTF_8)
      # SQLite resolves its URIs against the process's folder, and not against the application's.
      return absolute_path_of_uri(name) if name.start_with?("file:")
      return if name.empty? || name.start_with?(":memory:")

      File.expand_path(name, root.to_s)
    end

    # As SQLite reads it: what follows a ? or # is not path, and %xx is a byte.
    def self.absolute_path_of_uri(uri)
      path, query = uri.delete_prefix("file:").sub(/#.*/m, "").split("?", 2)
      return if query&.match?(/(\A|&)mode=memory(&|\z)/) || path.to_s.start_with?(":memory:")

      path = path.to_s.sub(%r{\A//[^/]*}, "").b.gsub(/%\h\h/) { |code| code.delete_prefix("%").hex.chr }.force_encoding(Encoding::UTF_8)
      File.expand_path(path) unless path.empty?
    end
    private_class_method :absolute_path_of_uri

    # With every symlink resolved, as far as the path exists; SQLite puts its files beside that one.
    # @return [String]
    def self.resolve(path)
      File.realpath(path)
    rescue Errno::ENOENT, Errno::ENOTDIR
      parent = File.dirname(path)
      (parent == path) ? path : File.join(resolve(parent), File.basename(path))
    rescue SystemCallError
      path
    end

    def initialize(path, name: nil, extensions: [])
      @path = path.to_s
      @name = name&.to_s
      @extensions = extensions.map(&:to_s)
    end

    # @return [String]
    def absolute_path
      self.class.absolute_path(path) #: String
    end

    # @return [String]
    def resolved_path
      self.class.resolve(absolute_path)
    end

    # @return [String] relative to the application where that is shorter
    def label
      absolute_path.delete_prefix("#{Hotswap.configuration.root}/")
    end

    # What a worker has to know of it.
    # @return [Hash]
    def to_job
      {path: absolute_path, label: label, name: name, extensions: extensions}
    end
  end
end
