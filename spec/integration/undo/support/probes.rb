# frozen_string_literal: true

require "socket"
require_relative "versions"

# Pushes of "new" over "good", with a probe.
module Probes
  include Versions

  def probed(probe, *options, timeout: 20) = push("new", options: ["--probe-timeout=#{timeout}", "--probe", probe, *options])

  # The probe runs while the block does, and fails when the file "stop" is there.
  def start_probed(*options, probe: "touch started; until test -e stop; do sleep 0.02; done; exit 1")
    running = app.start_hotswap("cp", *options, "--probe", probe, offer("new"), Versions::LIVE)
    eventually { expect(app.root.join("started")).to exist }
    yield running
  ensure
    stop_probe
    settled
    running&.wait
    %w[started stop].each { |file| FileUtils.rm_f(app.root.join(file)) }
  end

  def stop_probe = app.write("stop", "")

  # A site that answers with these statuses, one after the other, and then with the last one.
  def with_site(*statuses)
    server = TCPServer.new("127.0.0.1", 0)
    answering = Thread.new do
      loop do
        client = server.accept
        nil until client.gets.to_s.strip.empty?
        client.write("HTTP/1.1 #{(statuses.size > 1) ? statuses.shift : statuses.first}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        client.close
      end
    end
    yield "http://127.0.0.1:#{server.addr[1]}/up"
  ensure
    answering&.kill
    server&.close
  end

  # A site whose answer to a request depends on it: a status, with a body that has no end, or nothing but a letter at a time.
  def with_answers(answer)
    server = TCPServer.new("127.0.0.1", 0)
    answering = Thread.new { loop { Thread.new(server.accept) { |client| answer_without_end(client, answer) } } }
    yield "http://127.0.0.1:#{server.addr[1]}/up"
  ensure
    answering&.kill
    server&.close
  end

  def record = File.readlines("#{app.database_path}.hotswap.log").map { |line| JSON.parse(line) }

  def settled = eventually { expect(hotswap_worker).to be_nil }

  def hotswap_worker = app.process.members.find { |pid| ServerProcess.command_line(pid).include?("hotswap worker") }

  def expect_rolled_back(pushed, why, kept: %w[new])
    expect(pushed).to have_attributes(exit_code: 7, stdout: "")
    expect(pushed.stderr).to match(/^ERROR: the probe failed: .*#{why}.* The previous version of storage\/app\.sqlite3 is back in use\. The pushed database, with everything written since, is \S*app\.sqlite3\.previous$/)
    expect_back(kept: kept)
  end

  def expect_back(kept: %w[new])
    expect(app.version).to eq "good"
    expect(items(1)).to eq kept
    expect([app.database_path, version(1)].map { |file| TestDatabase.integrity(file) }).to eq %w[ok ok]
    FileUtils.rm_f(app.root.join("storage/new.sqlite3"))
    expect(app.stray_files).to eq []
    expect(record.last(2)).to match [include("event" => "push", "command" => "push"), include("event" => "rollback", "command" => "rollback", "exit_status" => 7, "error" => /the probe failed/)]
  end

  private

  def answer_without_end(client, answer)
    status = answer.call(client.gets("\r\n\r\n"))
    client.write("HTTP/1.1 #{status}\r\n\r\n") if status
    loop do
      client.write("H")
      sleep 0.1
    end
  rescue SystemCallError
    client.close
  end
end
