# frozen_string_literal: true

require "socket"

# A port for one server. While this socket is bound to it, and does not listen, the kernel gives the port to no other
# program that asks for any port; a server that asks for this one, with SO_REUSEADDR, gets it.
class ReservedPort
  attr_reader :number

  def initialize
    @socket = Socket.new(:INET, :STREAM)
    @socket.setsockopt(:SOCKET, :REUSEADDR, true)
    @socket.bind(Addrinfo.tcp("127.0.0.1", 0))
    @number = @socket.local_address.ip_port
  end

  def release = @socket.close
end
