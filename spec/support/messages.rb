# frozen_string_literal: true

require_relative "project"

# The messages that a page quotes, and whether the sources have them. A quote leaves out what differs from case to
# case with "…", or has an example of it: a number, a path, the name of a file or of a signal.
module Messages
  VALUE = %r{…|\S*[\d/]\S*|\S+\.sqlite3\S*|\bN\b|\bSIG[A-Z]+\b|[,;:()|]|\.(?= |\z)}
  OUTPUT = /\A {4,}((?:ERROR:|\[hotswap\]|In place,|…) .*)/

  class << self
    # The literal parts of the messages in a page that the sources do not have.
    def unfounded(page)
      quotes(page).flat_map { |quote| parts(quote) }.uniq.reject { |part| found?(part) }
    end

    # The code spans in tables of messages, those that are errors or leave something out, and what a block shows.
    def quotes(page)
      messages = false
      page.each_line.flat_map do |line|
        messages = line.start_with?("| message |") if line.start_with?("| ") && !messages
        messages = false unless line.start_with?("|")
        next [line[OUTPUT, 1]] if line.match?(OUTPUT)

        spans = line.gsub("\\|", "\0").then { |row| messages ? row.split("|")[1].to_s : row }.scan(/`([^`]+)`/).flatten
        spans.select { |span| messages || span.match?(/\AERROR: |\AIn place, |… [a-z]+ [a-z]+/) }
      end
    end

    private

    def parts(quote)
      quote.sub(/\A(ERROR:|\[hotswap\]) /, "").split(VALUE).map { |part| part.split.join(" ") }.select { |part| part.count(" ") > 1 }
    end

    # A part may run over an insertion: then it consists of pieces that the sources have.
    def found?(part)
      words = part.split
      pieces = 0
      until words.empty?
        length = words.size.downto(1).find { |count| literals.include?(words.first(count).join(" ")) } or return false
        words.shift(length)
        pieces += 1
      end
      pieces <= 1 + part.split.size / 3
    end

    # Everything between quotes in the sources, without comments and tests.
    def literals
      @literals ||= Project::ROOT.glob("{ext,lib}/**/*.{rs,rb}").map { |file| literals_of(file.read) }.join("\n").squeeze(" ")
    end

    def literals_of(source)
      source = source.sub(/^#\[cfg\(test\)\]\nmod tests \{.*/m, "").gsub(%r{^\s*(//|# ).*}, "")
      source = source.gsub(/\\\n\s*/, "").gsub('" "', "")
      source.scan(/"((?:[^"\\\n]|\\.)*)"/).flatten.join("\n").gsub(/#?\{[^{}]*\}/, "\0").gsub('\\n', "\n").gsub('\\"', '"')
    end
  end
end
