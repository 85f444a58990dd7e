# frozen_string_literal: true

require "json"
require "socket"
require "timeout"

# A client that talks to the server's sockets byte by byte, so it can send what no real command sends.
#
#   RawClient.open(app.socket_path) { |client| client.message(hello: {protocol: 1, version: "x"}) }
class RawClient
  MESSAGE = 1
  BODY = 2
  END_OF_BODY = 3

  def self.open(path)
    client = new(path)
    return client unless block_given?

    begin
      yield client
    ensure
      client.close
    end
  end

  def initialize(path)
    @socket = UNIXSocket.new(path)
  end

  # False when the server does not listen any more.
  def write(bytes)
    @socket.write(bytes)
  rescue Errno::EPIPE, Errno::ECONNRESET
    false
  end

  def frame(kind, payload, length: payload.bytesize) = write([kind, length].pack("CN") + payload.b)

  def message(message) = frame(MESSAGE, JSON.generate(message))

  # A message, and an open file with it.
  def message_with(file, message)
    payload = JSON.generate(message)
    @socket.sendmsg([MESSAGE, payload.bytesize].pack("CN") + payload, 0, nil, Socket::AncillaryData.unix_rights(file))
  end

  # The next message; nil at the end of the connection.
  def receive(within: 10)
    Timeout.timeout(within) do
      header = @socket.read(5) or return
      kind, length = header.unpack("CN")
      raise "a frame of kind #{kind}" unless kind == MESSAGE
      JSON.parse(@socket.read(length))
    end
  rescue Errno::ECONNRESET
    nil
  end

  def close = @socket.close
end
