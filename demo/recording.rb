# frozen_string_literal: true

require "cgi/escape"
require "pty"

# Draws docs/demo.svg: the output of bin/demo, line by line, with its timing.
#
#   ruby demo/recording.rb
class Recording
  ROWS = 24
  COLUMNS = 112
  ROW = 18
  # Shortens long pauses, and shows the end for a while.
  LONGEST_PAUSE = 1.2
  AT_THE_END = 8.0
  COLORS = {1 => "bold", 2 => "dim", 31 => "red", 32 => "green", 33 => "yellow", 36 => "cyan"}.freeze

  Line = Struct.new(:at, :text)

  def initialize(*command)
    @command = command
    @lines = []
  end

  def run
    now = before = 0.0
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    PTY.spawn({"TERM" => "xterm"}, *@command) do |output, _, pid|
      output.each_line do |text|
        arrived = Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
        now += [arrived - before, LONGEST_PAUSE].min
        before = arrived
        @lines << Line.new(now, text.chomp.delete("\r")) unless text.start_with?("setup:")
      end
    rescue Errno::EIO
      # On Linux, this is the end of a terminal's output.
      Process.wait(pid)
      raise "#{@command.join(" ")} failed" unless $?.success?
    end
    self
  end

  # Without animation, and after it, the picture shows the end.
  def to_svg
    <<~SVG
      <svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 #{COLUMNS * 8} #{ROWS * ROW + 24}" font-family="ui-monospace, monospace" font-size="13" role="img" aria-label="bin/demo: a running site is pulled, pushed and attacked, and every promise is kept">
      <style>
        text { fill: #e6edf3; white-space: pre } .bold { font-weight: 600 } .dim { fill: #8b949e } .red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .cyan { fill: #39c5cf }
        #roll { transform: translateY(#{-offset(@lines.size)}px); animation: roll #{duration.round(2)}s step-end infinite }
        @keyframes roll { #{frames} }
        @media (prefers-reduced-motion) { #roll { animation: none } }
      </style>
      <rect width="100%" height="100%" rx="8" fill="#0d1117"/>
      <svg y="12" height="#{ROWS * ROW}"><g id="roll">
      #{@lines.each_with_index.map { |line, row| %(<text x="14" y="#{row * ROW + 13}">#{spans(line.text)}</text>) }.join("\n")}
      </g></svg>
      </svg>
    SVG
  end

  private

  def duration = @lines.last.at + AT_THE_END

  # The newest line is in the last visible row; later lines are below the edge.
  def frames
    @lines.each_with_index.map { |line, row| "#{(row.zero? ? 0 : line.at / duration * 100).round(2)}% { transform: translateY(#{-offset(row + 1)}px) }" }.join(" ")
  end

  def offset(rows) = (rows - ROWS) * ROW

  def spans(text)
    style = nil
    text.split(/(\e\[\d+m)/).reject(&:empty?).filter_map do |part|
      if (code = part[/\A\e\[(\d+)m\z/, 1])
        style = COLORS[code.to_i]
        next
      end
      style ? %(<tspan class="#{style}">#{CGI.escapeHTML(part)}</tspan>) : CGI.escapeHTML(part)
    end.join
  end
end

if $PROGRAM_NAME == __FILE__
  root = File.expand_path("..", __dir__)
  File.write(File.join(root, "docs/demo.svg"), Recording.new(File.join(root, "bin/demo")).run.to_svg)
end
