# frozen_string_literal: true

require_relative "raw_client"

# Both connections of one command, greeted and joined as a command of ours does.
class RawSession
  PROTOCOL = 1

  attr_reader :main, :stderr

  def self.open(server)
    session = new(server)
    yield session
  ensure
    session&.close
  end

  def initialize(server)
    @main = RawClient.open(server.socket_path)
    main.message(hello: {protocol: PROTOCOL, version: "of a spec"})
    welcome = main.receive.fetch("welcome")
    @stderr = RawClient.open(welcome.fetch("stderr_socket"))
    stderr.message(join: {session: welcome.fetch("session")})
  end

  # `hotswap cp SRC DST`. Returns what the server wants next, as in {"plan" => "send_stream"}.
  def request(src, dst)
    main.message(request: {src: endpoint(src), dst: endpoint(dst), skip_integrity_check: false, skip_schema_check: false})
    main.receive
  end

  # The exit status, and what the server said about it.
  def outcome
    status = main.receive&.dig("done", "code")
    said = []
    while (message = stderr.receive)
      said << message["error"] if message.key?("error")
    end
    [status, said.join("\n")]
  end

  def close = [main, stderr].compact.each(&:close)

  private

  def endpoint(path) = {raw: path, stdio: path == "-", absolute: "/nowhere/#{path}", resolved: "/nowhere/#{path}", identity: nil}
end
