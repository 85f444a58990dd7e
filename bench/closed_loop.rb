# frozen_string_literal: true

# Runs visitors that come again as soon as they get an answer, for a number of seconds, in a separate process. Prints
# as JSON how many answers they got, and how many failed.
#
#   ruby closed_loop.rb PORT PATH VISITORS SECONDS

require "json"
require "socket"
require "uri"
require_relative "../demo/visitors/http"

port, path, visitors, seconds = ARGV
http = Visitors::HTTP.new("127.0.0.1", Integer(port), 60)
now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
began = now.call
deadline = began + Float(seconds)

counts = Array.new(Integer(visitors)) do
  Thread.new do
    good = bad = 0
    while now.call < deadline
      status, = http.get(path)
      (status == 200) ? good += 1 : bad += 1
    end
    [good, bad]
  end
end.map(&:value)

puts JSON.generate(answers: counts.sum(&:first), failures: counts.sum(&:last), seconds: now.call - began)
