# frozen_string_literal: true

require "sqlite3"
require_relative "unit_helper"

RSpec.describe "a forked child" do
  include_context "with hotswap in this process"

  it "has its own gate, open and empty" do
    request = waiting_thread { gate.pass("the parent's request") { Thread.stop } }
    with_fork_while_closed = lambda do
      Hotswap::Native.close_gate
      in_child { [Hotswap::Native.gate_closed?, inside, gate.running, gate.pass("the child's") { inside }, inside] }
    ensure
      Hotswap::Native.reopen_gate
    end

    expect(with_fork_while_closed.call).to eq [false, 0, [], 1, 0]
    expect(inside).to eq 1
    request.kill.join
  end

  it "does not belong to the request that forked it" do
    gate.pass("the parent's request") do
      expect(in_child { [gate.inside?, gate.pass("the child's") { inside }] }).to eq [false, 1]
      expect(gate).to be_inside
    end
  end

  it "does not end its parent's request" do
    unit = gate.enter("the parent's request")
    in_child { gate.leave(unit) }

    expect(inside).to eq 1
    gate.leave(unit)
  end

  it "waits at its own gate, even after its parent has waited" do
    with_closed_gate { waiting_thread { gate.pass("request") { nil } } }.join
    ticks = in_child do
      waiting = with_closed_gate { waiting_thread { gate.pass("request") { :through } } }
      waiting.value
    end

    expect(ticks).to eq :through
  end

  it "is a member only for databases that it opens itself" do
    path = folder.join("app.sqlite3").to_s
    Hotswap.register(path)
    SQLite3::Database.new(path).close

    expect(in_child { Hotswap::Native.memberships }).not_to include(path)
    expect(in_child { SQLite3::Database.new(path).close and Hotswap::Native.memberships }).to eq [path]
    expect(Hotswap::Native.memberships).to include(path)
  end

  it "has its own answering thread and an empty mailbox" do
    Hotswap.runtime.host.ensure_running
    parents = Hotswap::Native.mailbox_descriptor
    childs, alive = in_child do
      Hotswap.runtime.host.ensure_running
      [Hotswap::Native.mailbox_descriptor, Thread.list.one? { |thread| thread.name == "hotswap" }]
    end

    expect(childs).not_to eq parents
    expect(alive).to be true
    expect(Thread.list.count { |thread| thread.name == "hotswap" }).to eq 1
  end
end
