# frozen_string_literal: true

require "json"
require "optparse"
require "securerandom"
require "uri"
require_relative "visitors/visit"
require_relative "visitors/schedule"
require_relative "visitors/http"
require_relative "visitors/report"
require_relative "visitors/remote"

# A steady load on the demo application: a number of reads and writes a second, whether or not the answers arrive.
#
#   visitors = Visitors.new(port: 3000, gets_per_second: 100, posts_per_second: 50)
#   visitors.start
#   report = visitors.stop
#
# Visitors.spawn(port: 3000) runs them in a separate process, and #finish returns the same report. As a program: ruby
# visitors.rb --port 3000 [--report FILE], until Ctrl-C or SIGTERM.
class Visitors
  def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def self.spawn(**) = Remote.new(**)

  def initialize(port:, host: "127.0.0.1", gets_per_second: 100, posts_per_second: 50,
    get_path: "/items/1", post_path: "/items", threads: 16, timeout: 60)
    @http = HTTP.new(host, port, timeout)
    @rates = {"get" => gets_per_second, "post" => posts_per_second}
    @get_path = get_path
    @post_path = post_path
    @size = threads
    # Makes tokens unique among the visitors of this run and of others.
    @name = SecureRandom.alphanumeric(8)
  end

  def start
    @visits = Queue.new
    @closing_time = Queue.new
    @started = self.class.now
    @schedule = Schedule.new(@started, @rates)
    @threads = Array.new(@size) { Thread.new { come_and_go } }
    self
  end

  # No new visitor comes; the current ones get their answers.
  def stop
    stopped = self.class.now
    unsent = @schedule.overdue(stopped)
    @closing_time.close
    @threads.each(&:join)
    Report.new(Array.new(@visits.size) { @visits.pop }, started: @started, stopped: stopped, unsent: unsent)
  end

  private

  def come_and_go
    while (errand = @schedule.next)
      @closing_time.pop(timeout: [errand.due - self.class.now, 0].max)
      break if @closing_time.closed?

      @visits << visit(errand)
    end
  end

  def visit(errand)
    visit = Visit.new(kind: errand.kind, due: errand.due, started: self.class.now)
    begin
      visit.status, body = request(errand)
      visit.ended = self.class.now
      read(body, visit)
      raise HTTP::Broken, "the answer to another visitor's write" if visit.token && visit.token != token(errand)
    rescue SystemCallError, IOError, SocketError, HTTP::Broken => error
      visit.ended ||= self.class.now
      visit.error = error.message[0, 200]
    end
    visit
  end

  def request(errand)
    return @http.get(@get_path) if errand.kind == "get"

    @http.post(@post_path, token: token(errand))
  end

  def token(errand) = "#{@name}-#{errand.number}"

  def read(body, visit)
    answer = JSON.parse(body)
    return unless answer.is_a?(Hash)

    visit.version, visit.pid, visit.id = answer.values_at("version", "pid", "id")
    visit.token = answer["token"] if visit.kind == "post"
  rescue JSON::ParserError
    # The answer is a page. There is nothing else to read from it.
  end
end

if $PROGRAM_NAME == __FILE__
  options = {}
  report_path = while_stdin = seconds = nil
  OptionParser.new do |parser|
    parser.banner = "usage: ruby visitors.rb --port PORT [options]"
    parser.on("--port PORT", Integer) { options[:port] = _1 }
    parser.on("--host HOST") { options[:host] = _1 }
    parser.on("--gets-per-second N", Float) { options[:gets_per_second] = _1 }
    parser.on("--posts-per-second N", Float) { options[:posts_per_second] = _1 }
    parser.on("--get-path PATH") { options[:get_path] = _1 }
    parser.on("--post-path PATH") { options[:post_path] = _1 }
    parser.on("--threads N", Integer) { options[:threads] = _1 }
    parser.on("--timeout SECONDS", Float, "for each answer") { options[:timeout] = _1 }
    parser.on("--seconds N", Float, "stop by themselves after so long") { seconds = _1 }
    parser.on("--report FILE", "write it as JSON, for Visitors::Report.load; - is standard output") { report_path = _1 }
    parser.on("--while-stdin", "stop when standard input ends") { while_stdin = true }
  end.parse!
  abort "visitors.rb: --port is missing" unless options[:port]

  closing = Queue.new
  %w[INT TERM].each { |signal| trap(signal) { closing << signal } }
  visitors = Visitors.new(**options).start
  puts "visiting"
  $stdout.flush
  Thread.new { closing << $stdin.read } if while_stdin
  closing.pop(timeout: seconds)
  report = visitors.stop
  case report_path
  when nil then puts report
  when "-" then puts report.to_json
  else File.write(report_path, report.to_json)
  end
end
