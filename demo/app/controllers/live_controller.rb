# frozen_string_literal: true

# Runs in its own thread, which goes on when the visitor has left.
class LiveController < ApplicationController
  include ActionController::Live

  def show
    response.headers["Content-Type"] = "application/x-ndjson"
    count = params.fetch(:n, 10).to_i.clamp(1, 10_000)
    count.times do |n|
      sleep seconds / count
      response.stream.write("#{provenance.merge(n: n).to_json}\n")
    end
  rescue ActionController::Live::ClientDisconnected
    logger.info("the visitor of /live left")
  ensure
    response.stream.close
  end
end
