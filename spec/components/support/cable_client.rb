# frozen_string_literal: true

require "json"
require "securerandom"
require "socket"

# A subscriber of Action Cable, as the browser's: it comes back when the server closes the connection.
class CableClient
  def initialize(port, channel)
    @port = port
    @channel = JSON.generate(channel: channel)
    @received = []
    @thread = Thread.new { loop { connect && listen } }
    @thread.report_on_exception = false
  end

  # What arrived, in order.
  def received = @received.dup

  # How often it has been subscribed.
  attr_reader :subscriptions

  def subscribed? = @subscribed

  def close
    @thread.kill.join
    @socket&.close
  end

  private

  def connect
    @socket = TCPSocket.new("127.0.0.1", @port)
    @socket.write("GET /cable HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
      "Sec-WebSocket-Key: #{SecureRandom.base64(16)}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n\r\n")
    @socket.gets("\r\n\r\n")&.include?("101")
  rescue SystemCallError
    sleep 0.05
    false
  end

  def listen
    while (message = next_message)
      case message["type"]
      when "welcome" then send_text(JSON.generate(command: "subscribe", identifier: @channel))
      when "confirm_subscription"
        @subscriptions = @subscriptions.to_i + 1
        @subscribed = true
      when "disconnect" then break
      when nil then @received << message["message"]
      end
    end
  rescue SystemCallError, IOError
    nil # the connection is gone; the next one is made
  ensure
    @subscribed = false
    @socket.close
  end

  # Frames of a server are not masked; one that is no text closes.
  def next_message
    first, second = @socket.read(2)&.bytes
    return unless first

    length = second & 127
    length = @socket.read(2).unpack1("n") if length == 126
    payload = @socket.read(length)
    JSON.parse(payload) if first & 15 == 1
  end

  def send_text(text)
    mask = SecureRandom.bytes(4)
    masked = text.bytes.each_with_index.map { |byte, index| byte ^ mask.getbyte(index % 4) }.pack("C*")
    header = (text.bytesize < 126) ? [129, 128 | text.bytesize].pack("CC") : [129, 254, text.bytesize].pack("CCn")
    @socket.write(header + mask + masked)
  end
end
