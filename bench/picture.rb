# frozen_string_literal: true

module Bench
  # The latency of requests during a push, as an SVG: a dot for each request, and the stages of the push.
  class Picture
    WIDTH = 860
    HEIGHT = 340
    LEFT = 64
    RIGHT = 16
    TOP = 44
    BOTTOM = 44
    DECADES = [1, 10, 100, 1000, 10_000].freeze
    # Written out for each color scheme, because not every SVG renderer supports variables.
    LIGHT = {text: "#1f2328", circle: "#0969da", ".bad": "#cf222e", ".copy": "#ddf4ff", ".check": "#fff8c5", ".swap": "#ffcecb", line: "#d0d7de"}.freeze
    DARK = {text: "#e6edf3", circle: "#58a6ff", ".bad": "#ff7b72", ".copy": "#0c2d6b", ".check": "#4b2900", ".swap": "#67060c", line: "#30363d"}.freeze
    STAGES = {copy: "copied and synced", check: "checked", swap: "swapped"}.freeze

    def initialize(visits, stages, began, title)
      @visits = visits.sort_by(&:due)
      @stages = stages
      @began = began
      @title = title
      @from = @visits.first.due - began
      @to = @visits.last.due - began
      slowest = @visits.map { |visit| visit.latency * 1000 }.max
      @top = DECADES.find { |decade| decade >= slowest && decade >= 100 } || DECADES.last
    end

    def to_s
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{WIDTH} #{HEIGHT}" role="img" aria-label="#{@title}" font-family="system-ui, sans-serif" font-size="12">
        <style>
          #{styles(LIGHT)}
          @media (prefers-color-scheme: dark) { #{styles(DARK)} }
        </style>
        <text x="#{LEFT}" y="20" font-weight="600">Latency of every request: #{@title}</text>
        #{stages}
        #{levels}
        #{seconds}
        #{dots}
        </svg>
      SVG
    end

    private

    def styles(colors) = colors.map { |what, color| "#{what} { #{(what == :line) ? "stroke" : "fill"}: #{color}; }" }.join(" ")

    def x(seconds) = (LEFT + (seconds - @from) / (@to - @from) * (WIDTH - LEFT - RIGHT)).round(1)

    # Logarithmic, because 3 ms and 3 s appear in the same picture.
    def y(milliseconds)
      level = Math.log10(milliseconds.clamp(1, @top)) / Math.log10(@top)
      (HEIGHT - BOTTOM - level * (HEIGHT - TOP - BOTTOM)).round(1)
    end

    def stages
      @stages.map do |stage, range|
        left, right = [range.begin, range.end].map { |instant| x(instant - @began) }
        # A swap takes less time than a pixel represents.
        width = [right - left, 2].max.round(1)
        bar = %(<rect class="#{stage}" x="#{left}" y="#{TOP}" width="#{width}" height="#{HEIGHT - TOP - BOTTOM}"/>)
        label = (stage == :swap) ? %(<text x="#{left + 6}" y="#{TOP - 6}">#{STAGES[stage]}</text>) : %(<text x="#{(left + width / 2).round(1)}" y="#{TOP - 6}" text-anchor="middle">#{STAGES[stage]}</text>)
        bar + label
      end.join("\n")
    end

    def levels
      DECADES.select { |decade| decade <= @top }.map do |decade|
        label = (decade < 1000) ? "#{decade} ms" : "#{decade / 1000} s"
        %(<line x1="#{LEFT}" x2="#{WIDTH - RIGHT}" y1="#{y(decade)}" y2="#{y(decade)}"/><text x="#{LEFT - 6}" y="#{y(decade) + 4}" text-anchor="end">#{label}</text>)
      end.join("\n")
    end

    def seconds
      ticks = (@from.ceil..@to.floor).map { |second| %(<text x="#{x(second)}" y="#{HEIGHT - BOTTOM + 18}" text-anchor="middle">#{second}</text>) }
      [*ticks, %(<text x="#{(LEFT + WIDTH - RIGHT) / 2}" y="#{HEIGHT - 6}" text-anchor="middle">seconds since the push began</text>)].join("\n")
    end

    def dots
      @visits.map do |visit|
        %(<circle cx="#{x(visit.due - @began)}" cy="#{y(visit.latency * 1000)}" r="1.6"#{%( class="bad") unless visit.good?}/>)
      end.join("\n")
    end
  end
end
