# frozen_string_literal: true

class Tour
  # The tour's output: titles, commands as a user types them with their output, and results.
  class Terminal
    COLORS = {bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36}.freeze

    def initialize(out = $stdout)
      @out = out
      @out.sync = true
      @colors = out.tty? && !ENV.key?("NO_COLOR") && ENV["TERM"] != "dumb"
    end

    def title(text) = @out.puts("", paint(:bold, text))

    def note(text) = @out.puts(paint(:dim, "  #{text}"))

    def command(text) = @out.puts("  #{paint(:cyan, "$")} #{paint(:bold, text)}")

    # The output of a command.
    def answer(text) = @out.puts("    #{text.chomp}")

    def sql(file, statements)
      statements.each { |statement| @out.puts("  #{paint(:cyan, "#{file}>")} #{paint(:bold, statement)}") }
    end

    def fact(name, text) = @out.puts("  #{paint(:dim, name.ljust(18))}#{text}")

    def promise(kept, text)
      @out.puts("  #{kept ? paint(:green, "✓") : paint(:red, "✗ BROKEN:")} #{text}")
    end

    # One mark for each step of time: the number of the data version that answered in it.
    def strip(steps)
      steps.map do |versions|
        case versions.size
        when 0 then paint(:red, "_")
        when 1 then paint([:yellow, :green, :cyan][versions.first[/\d+/].to_i % 3], versions.first[/\d+/])
        else paint(:bold, "|")
        end
      end.join
    end

    private

    def paint(color, text) = @colors ? "\e[#{COLORS.fetch(color)}m#{text}\e[0m" : text
  end
end
