# frozen_string_literal: true

module Hotswap
  # What a redacted pull leaves out or replaces. The worker applies it. Only the worker knows the tables, so the
  # worker refuses rules for missing tables or columns.
  class Redaction
    # What a rule may have instead of columns. The copy then has no rows of the table.
    ROWS = :rows
    FORM = 'config.hotswap.redact needs a table, and :rows or columns with an SQL expression each, as in redact "users", email: "\'x\'"'

    def initialize
      @rules = []
      @scripts = []
    end

    # See {Configuration#redact}.
    def add_rule(table, what, columns, database)
      all = what.is_a?(Hash) ? what.merge(columns) : columns
      rows = what == ROWS
      named = table.is_a?(String) || table.is_a?(Symbol)
      valid = named && !table.empty? && (rows || what.nil? || what.is_a?(Hash)) && (rows ? all.empty? : all.any?)
      raise ConfigurationError, "#{FORM}, not #{[table, what, columns].inspect}" unless valid

      replaced = all.to_h { |column, expression| [column.to_s, sql(column, expression)] } unless rows
      @rules << {database: database&.to_s, table: table.to_s, columns: replaced}
    end

    # See {Configuration#redact_with}.
    def add_script(path, database)
      @scripts << {database: database&.to_s, path: path}
    end

    # What a worker has to know.
    # @return [Hash]
    def to_settings
      root = Hotswap.configuration.root
      scripts = @scripts.map { |script| script.merge(path: FileName.to_json_value(FileName.expand(script[:path], root))) }
      {redact: @rules, redact_with: scripts}
    end

    private

    def sql(column, expression)
      return "NULL" if expression.nil?
      return expression.to_s if (expression.is_a?(String) && !expression.strip.empty?) || expression.is_a?(Numeric)

      raise ConfigurationError, "config.hotswap.redact needs an SQL expression for #{column}, such as \"'x'\" or nil, not #{expression.inspect}"
    end
  end
end
