# frozen_string_literal: true

require "socket"

class Visitors
  # One request over one connection that the server closes. A kept-open connection would occupy one of Puma's threads
  # while idle, and with more visitors than threads the load would measure that.
  class HTTP
    class Broken < StandardError; end

    def initialize(host, port, timeout)
      @host = host
      @port = port
      @timeout = timeout
    end

    def get(path) = exchange("GET #{path} HTTP/1.1\r\n#{headers}\r\n")

    def post(path, form)
      body = URI.encode_www_form(form)
      exchange("POST #{path} HTTP/1.1\r\n#{headers}Content-Type: application/x-www-form-urlencoded\r\n" \
        "Content-Length: #{body.bytesize}\r\n\r\n#{body}")
    end

    private

    def headers = "Host: #{@host}:#{@port}\r\nUser-Agent: visitors\r\nConnection: close\r\n"

    def exchange(request)
      socket = Socket.tcp(@host, @port, connect_timeout: @timeout)
      socket.timeout = @timeout
      socket.write(request)
      parse(socket.read)
    ensure
      socket&.close
    end

    def parse(answer)
      head, body = answer.split("\r\n\r\n", 2)
      raise Broken, "empty answer" if head.nil?
      raise Broken, "cut off in the headers" if body.nil?
      raise Broken, "cut off in the body" unless whole?(head, body)

      [Integer(head[%r{\AHTTP/1\.\d (\d{3})}, 1]), body]
    end

    def whole?(head, body)
      return body.end_with?("0\r\n\r\n") if head.match?(/^transfer-encoding: chunked/i)

      length = head[/^content-length: (\d+)/i, 1]
      length.nil? || body.bytesize == length.to_i
    end
  end
end
