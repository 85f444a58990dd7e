# frozen_string_literal: true

require_relative "../demo/visitors"

module Bench
  # Requests at a steady rate, and windows of time in which their results are evaluated.
  #
  #   load = Load.on(site, gets: 100) do |load|
  #     load.window(:idle) { sleep 5 }
  #     load.window(:push) { site.push(file) }
  #   end
  #   load.of(:push).latency(99)
  class Load
    def self.on(site, gets: 100, posts: 0, threads: 16, &block)
      new(Visitors.spawn(port: site.port, gets_per_second: gets, posts_per_second: posts, threads: threads)).tap do |load|
        load.send(:during, &block)
      end
    end

    attr_reader :report

    def initialize(visitors)
      @visitors = visitors
      @windows = Hash.new { |windows, name| windows[name] = [] }
    end

    # Returns the result of the block.
    def window(name, &block)
      began = Clock.now
      result = yield
      @windows[name] << (began..Clock.now)
      result
    end

    # Adds a window by its start and end.
    def mark(name, range) = @windows[name] << range

    def windows(name) = @windows[name]

    # Returns one report for each window of that name.
    def each(name) = windows(name).map { |range| report.answered_in(range) }

    # The latencies of the requests that began in windows of that name, in milliseconds.
    def latencies(name, kind = nil)
      visits = windows(name).flat_map { |range| report.started_in(range).visits }
      visits.select! { |visit| visit.kind == kind } if kind
      Samples.new(visits.map { |visit| visit.latency * 1000 })
    end

    # The longest silence in each window, in milliseconds.
    def silences(name) = Samples.new(each(name).map { |part| part.longest_gap * 1000 })

    def failures = report.failures

    private

    def during
      yield self
      @report = @visitors.finish
    ensure
      @visitors.dismiss
    end
  end
end
