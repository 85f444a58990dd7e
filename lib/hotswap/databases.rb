# frozen_string_literal: true

module Hotswap
  # The managed databases, in the order in which they were registered. Those that match a pattern are found when the
  # application opens them, so they are not listed here.
  class Databases
    include Enumerable

    # @return [Array<Database>] what was registered: databases and patterns
    attr_reader :registered
    # @return [Integer, nil] how many of them were registered when the application had booted; nil while it boots
    attr_reader :at_boot

    def initialize
      clear
    end

    def each(&block)
      @databases.each(&block)
    end

    def size = @databases.size
    alias_method :length, :size

    # As in an Array.
    def [](*index) = @databases[*index] # steep:ignore

    # As in an Array.
    def last(*count) = @databases.last(*count) # steep:ignore

    # @return [Database] the new database, or the one that is already managed under this path
    def register(path, name: nil, extensions: [])
      absolute = Database.absolute_path(path)
      raise ConfigurationError, "#{path.inspect} is not a file, so hotswap cannot replace it. Name a database file" unless absolute

      known = exactly(absolute)
      return known.tap { |database| database.also_opened_as(path) } if known

      Database.new(path, name: name, extensions: extensions).tap do |database|
        refuse_pattern(database) if database.pattern? && Hotswap.configuration.root.to_s.include?("*")
        @registered << database
        database.pattern? ? add_pattern(database) : add(database)
        Hotswap.runtime.server.publish if at_boot
      end
    end

    # The application has booted. What is registered from now on, other processes do not know.
    def booted
      @at_boot ||= @registered.size
    end

    # See {Hotswap.find_database}.
    def find(path = nil)
      return super() { |database| yield database } if block_given?
      return if path.nil? || path.to_s == "-"

      absolute = FileName.expand(path, Hotswap.configuration.root)
      by_path(absolute) || (by_name(path.to_s) unless File.exist?(absolute))
    end

    # The managed database that a connection is about to open, if it is a managed one.
    # @param name [String] as given to SQLite3::Database.new, relative to the process's folder
    # @return [Database, nil]
    def opened_as(name)
      # Without a current folder, a relative path names no file.
      absolute = Database.absolute_path(name, FileName.current_folder || File::NULL)
      # Do not cache resolved paths: a symlink or a relative path may lead to another file the next time.
      absolute && by_path(absolute)
    end

    # @param resolved [String] a path without symlinks
    # @return [Database, nil] the managed database at that path
    def at(resolved)
      # A path may have become a symlink since it was registered, so the last pass looks at every database.
      among(candidates(resolved), resolved) || matching(resolved) || among(@databases + @matched.values, resolved)
    end

    # @return [Array<Database>] all that are managed now, with those that match a pattern and exist
    def existing
      matched = @patterns.flat_map { |pattern| Native.files_in_pattern(pattern.path) }
      @databases | matched.filter_map { |path| by_path(path) }
    end

    # @param label [String] see {Database#label}
    # @return [Database, nil]
    def labelled(label)
      @databases.find { |database| database.label == label } || matching(FileName.expand(label, Hotswap.configuration.root))
    end

    def clear
      @at_boot = nil
      @registered = []
      @databases = []
      @patterns = []
      @matched = {}
      forget_index
    end

    def empty?
      @registered.empty?
    end

    private

    def refuse_pattern(database)
      raise ConfigurationError, "#{database.label} cannot be a pattern, because the path of the application, " \
        "#{Native.visible(Hotswap.configuration.root.to_s)}, has a * in it, too. Rename that folder"
    end

    def by_path(absolute)
      found = exactly(absolute)
      return found.tap { note_link(found, absolute) } if found
      return if @registered.empty?

      resolved = Database.resolve(absolute)
      among(candidates(resolved), resolved) || matching(absolute) || matching(resolved)
    end

    # The database of a pattern. There is one object for each that the process has opened.
    def matching(absolute)
      known = @matched[absolute]
      return known if known

      @patterns.each do |pattern|
        found = pattern.database_at(absolute)
        return @matched[found.path] ||= found if found
      end
      nil
    end

    def add(database)
      @databases << database
      index(database)
    end

    def add_pattern(pattern)
      @patterns << pattern
      GatedUse.install
    end

    def among(databases, resolved)
      databases.find { |database| database.resolved_path == resolved }
    end

    def exactly(absolute)
      refresh_index
      @by_path[absolute] || @patterns.find { |pattern| pattern.path == absolute }
    end

    # Only databases with the same file name, and symlinks, can lead to the path. Each opening of any SQLite file
    # calls this, and an application may have thousands of databases.
    def candidates(resolved)
      refresh_index
      @by_file_name.fetch(File.basename(resolved), []) | @links
    end

    def index(database)
      absolute = database.path
      @by_path[absolute] ||= database
      (@by_file_name[File.basename(absolute)] ||= []) << database
      note_link(database, absolute)
    end

    def note_link(database, absolute)
      @links |= [database] if File.symlink?(absolute)
    end

    # When the application's root changes, relative paths name other files.
    def refresh_index
      return if @root == Hotswap.configuration.root.to_s

      forget_index
      @databases.each { |database| index(database) }
    end

    def forget_index
      @root = Hotswap.configuration.root.to_s
      @by_path = {}
      @by_file_name = {}
      @links = []
    end

    def by_name(name)
      @databases.find { |database| database.name == name } || (@databases.first if name == "database")
    end
  end
end
