# frozen_string_literal: true

require "json"
require "stringio"

module Hotswap
  # One question, for a program: runs `hotswap status` or `hotswap log`, and parses what it prints.
  class Question
    # @param command [String] "status" or "log"
    # @param database [Database, String, Symbol, nil] a managed database, by any of its names; nil means all
    # @param options [Hash] as on the command line; options that are nil are left out
    def initialize(command, database, **options)
      options = options.filter_map { |name, value| "--#{name}=#{value}" if value }
      @arguments = [command, "--json", *options, "--", *named(database)]
    end

    # @return [Array<Hash>] the lines of the answer, with symbols as keys
    def ask
      answer = StringIO.new
      outcome = File.open(File::NULL, "r+") { |null| CLI.new(null, answer, null).run(@arguments) }
      raise Copy::ERRORS.fetch(outcome.code, Failed), outcome.error.to_s unless outcome.code.zero?

      answer.string.each_line.map { |line| JSON.parse(line, symbolize_names: true) }
    end

    private

    # The command would look for a relative path in the folder of the process.
    def named(database)
      Hotswap.register_chosen
      return [] if database.nil?

      found = database.is_a?(Database) ? database : Hotswap.find_database(database.to_s)
      found ||= Hotswap.databases.first if database.to_s == "primary"
      [found&.path || database.to_s]
    end
  end
end
