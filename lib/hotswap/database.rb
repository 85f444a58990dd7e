# frozen_string_literal: true

require "hotswap/file_uri"

module Hotswap
  # A managed database, or one that hotswap has to leave alone.
  class Database
    # @return [String, nil] its name in database.yml
    attr_reader :name
    # @return [Array<String>] the extensions that its connections load
    attr_reader :extensions
    # @return [String, nil] why hotswap leaves it alone
    attr_reader :objection

    # The absolute path of a database as Active Record, Sequel or the sqlite3 gem name it: a path, a Pathname, or a
    # file: URI. Symlinks are not resolved.
    # @return [String, nil] nil for a database in memory
    def self.absolute_path(name, root = Hotswap.configuration.root)
      name = FileName.utf8(name)
      # SQLite resolves its URIs against the process's folder, not against the application's root.
      uri = FileUri.parse(name)
      return uri.absolute_path if uri
      return if name.empty? || name.start_with?(":memory:")

      FileName.expand(name, root)
    end

    # Resolves every symlink, as far as the path exists. SQLite puts its files next to the resolved path.
    # @return [String]
    def self.resolve(path)
      FileName.utf8(File.realpath(path))
    rescue Errno::ENOENT, Errno::ENOTDIR
      parent = File.dirname(path)
      (parent == path) ? path : File.join(resolve(parent), File.basename(path))
    rescue SystemCallError
      path
    end

    def initialize(path, name: nil, extensions: [], matched: false)
      @configured = path.to_s
      @matched = matched
      @name = name&.to_s
      @extensions = extensions.map(&:to_s)
      @objection = FileUri.objection(@configured)
    end

    # Takes note of another name under which the application opens the database.
    def also_opened_as(path)
      @objection ||= FileUri.objection(path.to_s)
    end

    # @return [String] its absolute path, in which symlinks are not resolved
    def path
      self.class.absolute_path(@configured) #: String
    end

    # @return [Boolean] whether this stands for every database whose path matches
    def pattern? = !matched? && below_root.include?("*")

    # The database of this pattern at the path, whether or not it exists.
    # @param absolute [String] an absolute path; symlinks in it may be resolved
    # @return [Database, nil] a new object; nil if the pattern does not match
    def database_at(absolute)
      found = Native.find_in_pattern(path, absolute)
      found && Database.new(found, extensions: extensions, matched: true).tap { |database| database.also_opened_as(@configured) }
    end

    # @return [Boolean] whether this matches a pattern, and was not registered by itself
    def matched? = @matched

    # @return [String]
    def resolved_path
      self.class.resolve(path)
    end

    # @return [String] the path, relative to the application's root if it is below it, escaped for the log
    def label = Native.visible(below_root)

    # Replaces the database by the source, as {Hotswap.push} does, and prints what the command would print.
    # @param source [String, Pathname, IO, #read]
    # @return [Boolean] whether it worked
    def push(source, stdout: $stdout, stderr: $stderr, skip_integrity_check: false, skip_schema_check: false)
      printing_errors(stderr) { Copy.new(self, stdout:, stderr:, skip_integrity_check:, skip_schema_check:).push(source) }
    end

    # Writes a snapshot to the target, as {Hotswap.pull} does, and prints what the command would print.
    # @param target [String, Pathname, IO, #write]
    # @return [Boolean] whether it worked
    def pull(target, stderr: $stderr)
      printing_errors(stderr) { Copy.new(self, stderr:).pull(target) }
    end

    # What a worker has to know about the database.
    # @return [Hash]
    def to_settings
      {path: FileName.to_json_value(path), label: label, name: name, extensions: extensions.map { |path| FileName.utf8(path).scrub },
       objection: objection && Native.visible(objection)}
    end

    private

    # The path, without the application's root. A * in the path of the root stands for itself.
    def below_root = path.delete_prefix("#{FileName.utf8(Hotswap.configuration.root)}/")

    def printing_errors(stderr)
      yield
      true
    rescue Error
      false # The command has printed it.
    rescue => error
      stderr.puts("ERROR: #{Native.visible(error.message)}")
      false
    end
  end
end
