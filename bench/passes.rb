# frozen_string_literal: true

# Prints as JSON what passing the gate costs in nanoseconds of processor time: the medians of several runs, each
# minus the cost of the same loop without the gate. With --member, in a process that has a managed database open.

require "json"
require "tmpdir"
require "action_dispatch"
require "action_dispatch/middleware/executor"
require "hotswap"
require "hotswap/rails/executor_hook"

RUNS = 15
PASSES = 30_000

def nanoseconds(&block)
  began = now
  block.call
  (now - began).fdiv(PASSES)
end

def now = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID, :nanosecond)

def median(values) = values.sort[values.size / 2]

# Alternates, so that both run under the same conditions. Garbage collection is part of the cost of a pass.
def difference(with, without)
  [with, without].each { |loop| nanoseconds(&loop) }
  median(Array.new(RUNS) { nanoseconds(&with) - nanoseconds(&without) })
end

def gate
  difference(
    -> { PASSES.times { Hotswap::Gate.leave(Hotswap::Gate.enter("a pass")) } },
    -> { PASSES.times {} }
  )
end

# A request's way through Rails: the middleware outermost, the executor below it.
def request
  with = Hotswap::Middleware.new(application { |executor| executor.prepend(Hotswap::ExecutorHook) })
  without = application
  difference(-> { PASSES.times { serve(with) } }, -> { PASSES.times { serve(without) } })
end

# Rails has its own hooks. Without this one, hotswap's would be the first, and would pay for the existence of any
# hook.
module AnotherHook
  def self.run = nil

  def self.complete(_) = nil
end

def application
  executor = Class.new(ActiveSupport::Executor)
  executor.register_hook(AnotherHook)
  yield executor if block_given?
  ActionDispatch::Executor.new(->(_env) { [200, {}, ["ok"]] }, executor)
end

def serve(application)
  _, _, body = application.call({"REQUEST_METHOD" => "GET", "PATH_INFO" => "/"})
  body.each {}
  body.close
end

def become_member
  Dir.mktmpdir do |folder|
    Hotswap.register(File.join(folder, "member.sqlite3"))
    database = SQLite3::Database.new(File.join(folder, "member.sqlite3"))
    database.execute("CREATE TABLE items (id)")
    abort "passes.rb: not a member" if Hotswap::Native.memberships.empty?
    yield
  ensure
    database&.close
  end
end

measure = -> { puts JSON.generate(runs: RUNS, gate: gate, request: request) }
(ARGV == ["--member"]) ? become_member(&measure) : measure.call
