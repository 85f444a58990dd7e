# frozen_string_literal: true

require_relative "../demo/visitors"

module Bench
  # Requests at a steady rate, and windows of time cut out of what became of them.
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

    # What the block answers.
    def window(name, &block)
      began = Clock.now
      result = yield
      @windows[name] << (began..Clock.now)
      result
    end

    # Another way to name a window: by its instants.
    def mark(name, range) = @windows[name] << range

    def windows(name) = @windows[name]

    # One report for each window of the name.
    def each(name) = windows(name).map { |range| report.answered_in(range) }

    # The latencies of all windows of the name, in milliseconds: of those who came in them.
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
