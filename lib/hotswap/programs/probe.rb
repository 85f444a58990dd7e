# frozen_string_literal: true

# Gets a URL until it answers with a success or a redirect. A worker runs it after a push:
#   ruby --disable-gems programs/probe.rb URL SECONDS
#
# Exit status: 0 for a success. Otherwise it prints the reason.

require "net/http"
require "timeout"

# How long it waits between two attempts, in seconds.
PAUSE = 0.25

def fail_with(why)
  puts "GET #{ARGV.first}: #{why}"
  exit 1
end

def left
  @deadline ||= Process.clock_gettime(Process::CLOCK_MONOTONIC) + Float(ARGV.fetch(1))
  [@deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC), 0].max
end

# The status line is the answer. A body may have no end.
def get(url)
  request = Net::HTTP::Get.new(url)
  request.basic_auth(*[url.user, url.password.to_s].map { |part| URI.decode_uri_component(part) }) if url.user
  seconds = [left, 0.1].max
  options = {use_ssl: url.scheme == "https", open_timeout: seconds, read_timeout: seconds, max_retries: 0}
  # Each byte of a slow answer would begin the read_timeout anew.
  Timeout.timeout(seconds, Net::ReadTimeout) do
    Net::HTTP.start(url.hostname, url.port, **options) { |http| http.request(request) { |answer| return answer } }
  end
end

begin
  url = URI(ARGV.fetch(0))
  fail_with("the URL names no host") if url.hostname.to_s.empty?
rescue URI::InvalidURIError => error
  fail_with(error.message)
end

loop do
  begin
    answer = get(url)
    exit if answer.code.to_i.between?(200, 399)
    why = "answered with #{answer.code} #{answer.message}".strip
    # Only an error of the server (5xx) may go away by itself.
    fail_with(why) if answer.code.to_i < 500
  rescue SystemExit
    raise
  rescue => error
    why = error.message
  end
  fail_with(why) if left <= PAUSE
  sleep PAUSE
end
