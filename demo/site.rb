# frozen_string_literal: true

require "fileutils"
require "net/http"
require "socket"

# The demo application as it runs in production: a copy with its own databases, served by Puma. It uses the caller's
# bundle (BUNDLE_GEMFILE), but not the other variables that `bundle exec` sets: commands run as in a user's terminal.
class Site
  class Failed < StandardError; end

  SOURCE = __dir__
  GENERATED = %w[storage log tmp].freeze
  PATIENCE = 60

  attr_reader :folder, :port, :pid

  def initialize(folder, settings = {})
    @folder = folder
    @port = free_port
    @settings = {
      "RAILS_ENV" => "production", "SECRET_KEY_BASE_DUMMY" => "1", "PORT" => @port.to_s,
      "BUNDLE_GEMFILE" => ENV.fetch("BUNDLE_GEMFILE"), "RUBYOPT" => nil, "RUBYLIB" => nil
    }.merge(settings)
    FileUtils.mkdir_p(folder)
    FileUtils.cp_r((Dir.children(SOURCE) - GENERATED).map { |name| File.join(SOURCE, name) }, folder)
  end

  def url(path = "") = "http://127.0.0.1:#{port}#{path}"

  def prepare
    FileUtils.mkdir_p(File.dirname(output))
    run("bin/rails", "db:prepare") or raise Failed, "the databases could not be made\n#{last_words}"
  end

  def boot
    @pid = start("bundle", "exec", "puma", "-C", "config/puma.rb")
    deadline = now + PATIENCE
    until serving?
      gone? and raise Failed, "Puma ended at boot\n#{last_words}"
      now < deadline or raise Failed, "no answer in #{PATIENCE} s after the boot\n#{last_words}"
      sleep 0.05
    end
  end

  # Starts another program of the application. Returns its pid, which is also its process group.
  def start(*command) = Process.spawn(@settings, *command, **where, pgroup: true)

  def get(path)
    Net::HTTP.get_response("127.0.0.1", path, port).tap do |answer|
      raise Failed, "#{path} answered #{answer.code}\n#{last_words}" unless answer.is_a?(Net::HTTPSuccess)
    end.body
  end

  # Runs in the site's environment, with the site's folder as the current one.
  def shell(command, &)
    IO.popen([@settings, "sh", "-c", command], chdir: folder, err: [:child, :out]) { |io| io.each_line(&) }
    $?
  end

  def gone?
    @pid.nil? || !Process.waitpid(@pid, Process::WNOHANG).nil?
  rescue Errno::ECHILD
    true
  end

  def stop
    return if gone?

    Process.kill("TERM", @pid)
    deadline = now + PATIENCE
    until gone?
      Process.kill("KILL", -@pid) if now > deadline
      sleep 0.02
    end
  end

  def last_words
    [output, File.join(folder, "log/production.log")].select { |path| File.exist?(path) }
      .map { |path| File.readlines(path).last(20).map { |line| "  | #{line}" }.join }.join
  end

  private

  def free_port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }

  def output = File.join(folder, "log/puma.log")

  def where = {chdir: folder, in: File::NULL, out: [output, "a"], err: [:child, :out]}

  # If an exception or a signal ends this process early, the child must not go on writing to a folder that is being
  # removed.
  def run(*command)
    child = Process.spawn(@settings, *command, **where)
    Process.wait(child)
    child = nil
    $?.success?
  ensure
    if child
      Process.kill("KILL", child)
      Process.wait(child)
    end
  end

  def serving?
    Net::HTTP.get_response("127.0.0.1", "/version", port).is_a?(Net::HTTPSuccess)
  rescue SystemCallError, EOFError, Net::ReadTimeout
    false
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
