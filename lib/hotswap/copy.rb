# frozen_string_literal: true

require "fcntl"
require "pathname"
require "stringio"

module Hotswap
  # What {Hotswap.push}, {Hotswap.pull} or {Hotswap.rollback} did.
  #
  # - database: the managed {Database}
  # - bytes: the length of the copied database
  # - seconds: how long the call took
  # - held: the longest time for which the push held requests, in seconds; 0.0 for a pull
  # - way: how the push replaced the database, :rename or :in_place; nil for a pull, and if nothing was swapped
  # - identity: the identity of the content that a pull has copied, for the if_match of a push; after a push with
  #   if_match or if_changed that of the new content; otherwise nil
  # - changed: whether a push with if_changed swapped the database; false if a push of some tables had nothing to write;
  #   otherwise nil
  # - tables: what a push of some tables, or its rollback, did to the rows of each: a Hash from the name of a table to a
  #   Hash with :added, :changed, :removed and :kept; otherwise nil
  # - dry_run: what a push with dry_run would do, as `--json` prints it: a Hash with symbols as keys; otherwise nil
  Result = Data.define(:database, :bytes, :seconds, :held, :way, :identity, :changed, :tables, :dry_run)

  # One copy, for a program: runs the command, and turns its end into a {Result} or an exception.
  class Copy
    # The exceptions by exit status.
    ERRORS = {1 => ServerNotFound, 2 => UsageError, 3 => Refused, 4 => Busy, 6 => Changed, 7 => RolledBack}.freeze

    # The options without which a copy would do more than the caller wants, and what they take.
    NEEDED = {if_match: "the identity of a pull", only: "names of tables", except: "names of tables"}.freeze

    # @param database [Database, String, Symbol] a managed database, by any of its names; :primary is the first one, unless
    #   another one has this name
    # @param stdout [IO, StringIO, nil] gets "OK" after a push
    # @param stderr [IO, StringIO, nil] gets status lines, warnings and errors
    # @param options [Hash] as on the command line, a list as an Array; options that are nil or false are left out
    def initialize(database, stdout: nil, stderr: nil, **options)
      @stdout = stdout
      @stderr = stderr
      @options = options.filter_map { |name, value| "--#{name.to_s.tr("_", "-")}#{"=#{[*value].join(",")}" unless value == true}" if value }
      NEEDED.each { |name, what| refuse("#{name} is nil. Pass #{what}, or leave #{name} out") if options.fetch(name, false).nil? }
      @database = managed(database)
    end

    # @param source [String, Pathname, IO, #read]
    # @return [Result]
    def push(source)
      name, stream = side(source, "source", :read)
      outcome, seconds = run("cp", name, @database.path, stdin: stream, stdout: @stdout)
      result(outcome, seconds)
    end

    # @param target [String, Pathname, IO, #write]
    # @return [Result]
    def pull(target)
      name, stream = side(target, "target", :write)
      outcome, seconds = run("cp", @database.path, name, stdin: nil, stdout: stream)
      result(outcome, seconds)
    end

    # @return [Result]
    def rollback
      outcome, seconds = run("rollback", @database.path, stdin: nil, stdout: @stdout)
      result(outcome, seconds)
    end

    private

    def run(command, *sides, stdin:, stdout:)
      began = Gate.now
      outcome = File.open(File::NULL, "r+") do |null|
        CLI.new(stdin || null, stdout || null, @stderr || null).run([command, *@options, "--", *sides])
      end
      raise ERRORS.fetch(outcome.code, Failed), outcome.error unless outcome.code.zero?

      [outcome, Gate.now - began]
    end

    def result(outcome, seconds)
      figures = outcome.figures
      held = figures[:held_ms].to_f / 1e3
      Result.new(
        database: @database, bytes: figures[:bytes], seconds: seconds, held: held, way: figures[:way]&.to_sym,
        identity: figures[:identity], changed: figures[:changed], tables: figures[:tables], dry_run: figures[:dry_run]
      )
    end

    def managed(database)
      Hotswap.register_chosen
      found = database.is_a?(Database) ? database : named(database)
      return found if found
      return refuse("hotswap manages no database in this process. Name one: Hotswap.database_path = \"db/app.sqlite3\"") if Hotswap.databases.empty?

      hint = ". A path with * stands for every database that matches it: name one of them" if Hotswap.databases.registered.any?(&:pattern?)
      refuse("#{database.inspect} is not a managed database. The managed databases are #{Hotswap.databases.registered.map(&:label).join(", ")}#{hint}")
    end

    def named(name)
      databases = Hotswap.databases
      found = name.is_a?(Symbol) ? databases.find { |database| database.name == name.to_s } : Hotswap.find_database(name)
      found || (databases.first if %w[primary database].include?(name.to_s))
    end

    # @return [Array] the name of this side on the command line, and its stream, if it is one
    def side(named, role, method)
      return [path(named.to_s), nil] if named.is_a?(String) || named.is_a?(Pathname)

      # A Tempfile or an upload is a file, as for IO.copy_stream. What else has a to_io, such as a GzipWriter or an SSL
      # socket, changes what goes through it.
      stream = (IO.try_convert(named) if named.respond_to?(:to_path)) || named
      return refuse("the #{role} must be a path or an IO, not #{named.inspect}") unless stream.respond_to?(method)
      return refuse("the #{role} is closed, or not open for this direction") unless open_for?(stream, method)

      ["-", stream]
    end

    def open_for?(stream, method)
      case stream
      when IO then !stream.closed? && (stream.fcntl(Fcntl::F_GETFL, 0) & Fcntl::O_ACCMODE) != ((method == :read) ? Fcntl::O_WRONLY : Fcntl::O_RDONLY)
      when StringIO then (method == :read) ? !stream.closed_read? : !stream.closed_write?
      else true
      end
    end

    # A name without a folder could be that of a managed database, or an option.
    def path(name)
      (File.basename(name) == name && !name.empty?) ? "./#{name}" : name
    end

    def refuse(why)
      @stderr&.puts("ERROR: #{why}")
      raise UsageError, why
    end
  end
end
