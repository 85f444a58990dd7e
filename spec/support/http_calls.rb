# frozen_string_literal: true

require "json"
require "net/http"

# What a visitor does; needs `port`.
module HttpCalls
  Answer = Struct.new(:status, :body, :headers) do
    def json = JSON.parse(body)
  end

  def get(path, timeout: 60) = call(Net::HTTP::Get.new(path), timeout)

  def post(path, timeout: 60, **parameters)
    request = Net::HTTP::Post.new(path)
    request.set_form_data(parameters)
    call(request, timeout)
  end

  def answers?
    get("/", timeout: 5) && true
  rescue SystemCallError, IOError, Net::OpenTimeout, Net::ReadTimeout
    false
  end

  private

  def call(request, timeout)
    response = Net::HTTP.start("127.0.0.1", port, open_timeout: timeout, read_timeout: timeout, max_retries: 0) do |http|
      http.request(request)
    end
    Answer.new(response.code.to_i, response.body, response.to_hash)
  end
end
