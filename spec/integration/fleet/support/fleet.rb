# frozen_string_literal: true

require_relative "generations"
require_relative "app_program"
require_relative "../../../../demo/visitors"

# For specs with many processes on one database: puts load on the application, and identifies its processes.
module Fleet
  LIVE = "storage/production.sqlite3"

  # Sends requests while the block runs. Returns the verdict.
  def visited(app, generations, gets: 60, posts: 30, **options)
    visitors = Visitors.spawn(port: app.port, gets_per_second: gets, posts_per_second: posts, **options)
    yield
    @report = visitors.finish
    visitors = nil
    generations.verdict(@report)
  ensure
    visitors&.dismiss
  end

  # Pushes several times in a row. Each push must succeed.
  def swap(generations, times, **options)
    times.times do
      push = generations.push(**options)
      expect(push.result).to have_attributes(exit_code: 0), push.result.stderr
      expect(push).to be_moved
      yield push if block_given?
    end
  end

  # Pushes until it succeeds. After the leader was killed, commands fail cleanly until the next leader serves.
  def swap_sooner_or_later(generations)
    push = eventually(15) { generations.push.then { |tried| tried if tried.result.exit_code != 1 } }
    expect(push.result).to have_attributes(exit_code: 0), push.result.stderr
  end

  # Expects the live version from every process that answers.
  def expect_all_on(app, version, processes:)
    seen = {}
    eventually(20) do
      answer = app.get("/version").json
      expect(answer.fetch("version")).to eq version
      seen[answer.fetch("pid")] = true
      seen.size >= processes
    end
  end

  # Puma's workers, by pid.
  def worker_pids(app) = app.worker_pids

  # The process that serves the socket. It holds the lock next to the socket.
  def leader_pid(app)
    lock = "#{app.socket_path}.lock"
    return unless File.exist?(lock)

    inode = File.stat(lock).ino
    locked = File.readlines("/proc/locks").reject { |line| line.include?("->") }.find { |line| line[/:(\d+) /, 1].to_i == inode }
    locked&.split&.fetch(4)&.to_i
  end

  # The members. Each of them holds a lock on the fence.
  def member_pids(app)
    inode = File.stat("#{app.database_path}.hotswap").ino
    File.readlines("/proc/locks").filter_map do |line|
      next if line.include?("->") || line[/:(\d+) /, 1].to_i != inode

      line.split.fetch(4).to_i
    end.uniq
  end

  # The workers that still run for this application.
  def hotswap_workers(app)
    Dir.glob("/proc/[0-9]*").map { |folder| File.basename(folder).to_i }.select do |pid|
      File.readlink("/proc/#{pid}/cwd") == app.root.to_s && ServerProcess.command_line(pid).start_with?("hotswap worker")
    rescue SystemCallError
      false
    end
  end

  def expect_nothing_left(app)
    eventually { expect(hotswap_workers(app)).to eq [] }
    expect(app.stray_files).to eq []
  end
end

RSpec.configure { |config| config.include(Fleet, :fleet) } if defined?(RSpec)
