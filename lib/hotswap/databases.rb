# frozen_string_literal: true

module Hotswap
  # The managed databases, in the order in which they were registered.
  class Databases
    include Enumerable

    def initialize
      @databases = []
    end

    def each(&block)
      @databases.each(&block)
    end

    # @return [Database] the new one, or the one that is managed under this path already
    def register(path, name: nil, extensions: [])
      absolute = Database.absolute_path(path)
      raise ConfigurationError, "#{path.inspect} is no database file, and cannot be swapped" unless absolute

      known = @databases.find { |database| database.absolute_path == absolute }
      return known.tap { |database| database.also_opened_as(path) } if known

      Database.new(path, name: name, extensions: extensions).tap { |database| @databases << database }
    end

    # See {Hotswap.find_database}.
    def find(path = nil)
      return super() { |database| yield database } if block_given?
      return if path.nil? || path.to_s == "-"

      absolute = FileName.expand(path, Hotswap.configuration.root)
      by_path(absolute) || (by_name(path.to_s) unless File.exist?(absolute))
    end

    # The managed database that a connection is about to open, if it is one.
    # @param name [String] as it was given to SQLite3::Database.new, relative to the process's folder
    # @return [Database, nil]
    def opened_as(name)
      # Without a current folder a relative path leads nowhere.
      absolute = Database.absolute_path(name, FileName.current_folder || File::NULL)
      # Nothing is remembered: a symlink may lead elsewhere the next time, and so may a relative path.
      absolute && by_path(absolute)
    end

    def clear
      @databases.clear
    end

    def empty?
      @databases.empty?
    end

    private

    def by_path(absolute)
      exact = @databases.find { |database| database.absolute_path == absolute }
      return exact if exact || @databases.empty?

      resolved = Database.resolve(absolute)
      @databases.find { |database| database.resolved_path == resolved }
    end

    def by_name(name)
      @databases.find { |database| database.name == name } || (@databases.first if name == "database")
    end
  end
end
