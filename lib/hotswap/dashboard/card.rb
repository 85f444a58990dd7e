# frozen_string_literal: true

require "hotswap/dashboard/chart"
require "hotswap/dashboard/entry"
require "hotswap/dashboard/words"

module Hotswap
  class Dashboard
    # The words for one database on the page.
    class Card
      # How many of the newest entries the table has. The chart goes further back.
      ROWS = 8
      # How many swaps the chart has.
      BARS = 60
      HOLDS = {
        "membership" => "takes part in swaps", "file" => "has the file open", "operation" => "runs a push or a rollback",
        "objection" => "prevents swaps: it has the database open without SQLite's locks"
      }.freeze

      Command = Data.define(:title, :phase, :percent, :details)
      Version = Data.define(:name, :description)
      Member = Data.define(:pid, :role, :command, :holds)

      # @param status [Hash] the database in what {Hotswap.status} returns
      # @param entries [Array<Hash>] its entries in the record, the oldest first
      def initialize(status, entries)
        @status = status
        @entries = entries.map { |fields| Entry.new(fields) }
      end

      # See {Dashboard.id}.
      def id = Dashboard.id(label)

      def title = @status[:name] || label

      # Its path, relative to the application's folder.
      def label = @status[:database]

      # Why no push works.
      def objection = @status[:objection]

      # @return [Hash<String, Object>] by what they are
      def facts
        {
          "Size" => size,
          "Journal mode" => {"wal" => "WAL", "rollback" => "rollback journal"}.fetch(@status[:journal_mode], @status[:journal_mode]),
          "Schema version" => @status[:schema_version],
          "Last swap" => last_swap
        }.compact
      end

      # @return [Array<Command>] that run now
      def commands
        @status.fetch(:commands, []).map do |command|
          Command.new(title: command.fetch(:command, "command").capitalize, phase: command[:phase], percent: percent(command),
            details: [command[:label], command[:from] && "from #{command[:from]}"].compact.join(", "))
        end
      end

      def previous
        @status.fetch(:previous, []).map do |version|
          size = "#{Words.bytes(version[:bytes])}#{" of rows" if version[:only_rows]}"
          Version.new(name: File.basename(version[:path]), description: "#{size}, last changed #{Words.time(version[:modified])} UTC")
        end
      end

      def processes
        @status.fetch(:processes, []).map do |process|
          Member.new(pid: process[:pid], role: process[:role], command: process[:command], holds: process[:holds].map { |what| HOLDS.fetch(what, what) }.join(", "))
        end
      end

      # Whether a process that has no pid here has it open.
      def elsewhere? = @status[:elsewhere]

      def history = @entries.last(ROWS).reverse

      def chart = Chart.new(@entries.select(&:swap?).last(BARS)).to_svg

      private

      def size
        return "no file yet" unless @status[:bytes]

        wal = @status[:wal_bytes].to_i
        wal.positive? ? "#{Words.bytes(@status[:bytes])}, WAL #{Words.bytes(wal)}" : Words.bytes(@status[:bytes])
      end

      def percent(command)
        (command[:done].to_i * 100 / command[:total]).clamp(0, 100) if command[:total].to_i.positive?
      end

      # The record may have lost it since.
      def last_swap
        return unless @status[:last_push]

        last = Entry.new(@status[:last_push])
        ["#{Words.time(last.time)} UTC", last.label, ("held requests for #{last.pause}" if last.swap?)].compact.join(", ")
      end
    end
  end
end
