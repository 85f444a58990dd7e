# frozen_string_literal: true

# Requests that take as long as ?t= says, each in another way.
class SlowController < ApplicationController
  def show
    sleep seconds
    render json: provenance
  end

  # Uses its own SQL for a deferred transaction: from Rails 8.0 on Active Record opens IMMEDIATE ones, which would
  # hold the write lock instead of a snapshot.
  def query
    Release.connection_pool.with_connection do |connection|
      database = connection.raw_connection
      database.execute("BEGIN DEFERRED")
      version = newest_release(database)
      sleep seconds
      render json: {version: version, version_after: newest_release(database), pid: Process.pid}
    ensure
      database&.rollback if database&.transaction_active?
    end
  end

  def stream
    # Otherwise Rack::ETag would consume the stream to compute a digest of it.
    response.headers["Last-Modified"] = Time.now.httpdate
    response.headers["Content-Type"] = "application/x-ndjson"
    self.response_body = ticks(params.fetch(:n, 10).to_i.clamp(1, 10_000))
  end

  private

  def newest_release(database)
    database.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1")
  end

  def ticks(count)
    pause = seconds / count
    Enumerator.new do |body|
      count.times do |n|
        sleep pause
        body << "#{provenance.merge(n: n).to_json}\n"
      end
    end
  end
end
