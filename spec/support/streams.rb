# frozen_string_literal: true

require "net/http"
require "socket"
require_relative "eventually"

# Visitors of pages that come bit by bit.
module Streams
  # Reads a stream that stays open.
  class Visitor
    include Eventually

    def initialize(port, path)
      @socket = TCPSocket.new("127.0.0.1", port)
      @socket.write("GET #{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
      @said = Queue.new
      @reader = Thread.new { @socket.each_line { |line| @said << line.chomp } }
      @reader.report_on_exception = false
    end

    # Waits for a line that comes from now on, or one that may have come already, and returns all lines until then.
    def wait_for(text, from_now: true)
      @said.clear if from_now
      lines = []
      eventually(20) { (lines << @said.pop(timeout: 1)).last&.include?(text) }
      lines.compact
    end

    # The lines that came since the last wait.
    def unread = Array.new(@said.size) { @said.pop }

    def leave
      @reader.kill.join
      @socket.close
    end
  end

  module_function

  # Yields each line when it arrives; returns all of them.
  def read_lines(port, path, &block)
    lines = []
    rest = +""
    Net::HTTP.start("127.0.0.1", port, read_timeout: 60, max_retries: 0) do |http|
      http.request_get(path) do |answer|
        answer.read_body do |part|
          rest << part
          while (line = rest.slice!(/\A.*\n/))
            lines << line
            block&.call(line)
          end
        end
      end
    end
    lines
  end

  # Asks for a page, waits until some of it has come, and leaves.
  def read_and_leave(port, path, until_it_says:)
    socket = TCPSocket.new("127.0.0.1", port)
    socket.write("GET #{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    said = +""
    said << socket.readpartial(4096) until said.include?(until_it_says)
  ensure
    socket&.close
  end
end
