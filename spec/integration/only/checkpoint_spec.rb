# frozen_string_literal: true

require "securerandom"
require_relative "../crash/support/watched_server"

RSpec.describe "the checkpoint after a push of some tables", lane: "default" do
  include Writers

  schema = "#{WatchedServer::SCHEMA}; CREATE TABLE articles (id INTEGER PRIMARY KEY, body TEXT)"
  watched_app(schema: schema)

  def size(calls) = calls.select { |call| call.call == "write" }.sum(&:result)

  # Otherwise the next request that writes moves all of the push into the file, or at least syncs it.
  it "is made by the worker, with the sync, even if requests write meanwhile" do
    bodies = Array.new(2000) { SecureRandom.hex(2000) }
    app.make(WatchedServer::NEW, schema: schema) do |db|
      bodies.each { |body| db.execute("INSERT INTO articles (body) VALUES (?)", [body]) }
    end
    write = ->(writer, number) { expect(app.add("#{writer}-#{number}").status).to eq 200 }
    # Requests write between the commit and the checkpoint.
    durable = SystemCalls::Step.new("worker", "fsync", "app.sqlite3-wal", 1)

    calls = app.calls.traced do
      beside_writers(write) do
        result = app.calls.with(durable, :slow) { app.hotswap("cp", "--only", "articles", WatchedServer::NEW, WatchedServer::LIVE) }
        expect(result.stderr).to match(/articles 2000 added/)
      end
    end

    worker, members = calls.select { |call| call.file == "app.sqlite3" }.partition { |call| call.program == "worker" }
    expect(size(worker)).to be >= bodies.sum(&:size)
    last_write = worker.rindex { |call| call.call == "write" }
    expect(worker.drop(last_write).map(&:call)).to include "fdatasync"
    expect(size(members)).to be < bodies.sum(&:size) / 2
  end
end
