# frozen_string_literal: true

require "json"
require "socket"
require "websocket/driver"

# A browser's side of Action Cable: one connection, subscribed to one channel.
class CableClient
  include Eventually

  attr_reader :url

  def initialize(port, channel)
    @url = "ws://127.0.0.1:#{port}/cable"
    @identifier = {channel: channel}.to_json
    @socket = TCPSocket.new("127.0.0.1", port)
    @taken = []
    @mutex = Mutex.new
    @driver = WebSocket::Driver.client(self, protocols: ["actioncable-v1-json"])
    @driver.on(:message) { |event| take(JSON.parse(event.data)) }
    @driver.start
    @reader = Thread.new { read }
    eventually { said?("welcome") }
    send_command("subscribe")
    eventually { said?("confirm_subscription") }
  end

  # Asks the server to run an action of the channel.
  def perform(action, **data)
    send_command("message", data: data.merge(action: action).to_json)
  end

  # The messages that the channel transmitted, each with the time of its arrival.
  def answers = taken.filter_map { |said, at| said["message"].merge("ended" => at) if said["identifier"] && said["message"] }

  def answer(&block) = eventually { answers.find(&block) }

  def connected? = @reader.alive?

  def close
    @socket.close
    @reader.join
  end

  # The WebSocket driver calls this to send bytes.
  def write(data) = @socket.write(data)

  private

  def send_command(command, **details)
    text = {command: command, identifier: @identifier, **details}.to_json
    @mutex.synchronize { @driver.text(text) }
  end

  def read
    loop do
      data = @socket.readpartial(16 * 1024)
      @mutex.synchronize { @driver.parse(data) }
    end
  rescue IOError, SystemCallError
    nil # one of both sides has closed
  end

  # The caller holds the mutex.
  def take(message) = @taken << [message, Eventually.now]

  def taken = @mutex.synchronize { @taken.dup }

  def said?(type) = taken.any? { |message, _| message["type"] == type }
end
