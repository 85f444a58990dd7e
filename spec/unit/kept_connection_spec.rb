# frozen_string_literal: true

require "active_support"
require "active_support/concurrency/null_lock"
require "monitor"
require_relative "unit_helper"

RSpec.describe Hotswap::KeptConnection do
  include_context "with hotswap in this process"

  # What hotswap needs of Active Record's connection.
  let(:connection_class) do
    Struct.new(:owner, :lock) do
      def lock_thread=(fiber)
        self.lock = fiber ? Monitor.new : ActiveSupport::Concurrency::NullLock
      end
    end
  end
  let(:no_lock) { ActiveSupport::Concurrency::NullLock }
  let(:resting) { waiting_thread { Thread.stop } }
  # A thread that stands in one of Active Record's files.
  let(:querying) { waiting_thread { eval("Thread.stop", binding, "/gems/activerecord-8.1.0/lib/active_record/querying.rb") } } # rubocop:disable Security/Eval, Style/EvalWithLocation

  after { [resting, querying].each(&:kill).each(&:join) }

  def while_resting(connection, &block) = described_class.while_resting(connection, &block)

  it "runs the block while the thread does something else, and makes the thread wait in the meantime" do
    connection = connection_class.new(resting, no_lock)
    waited = while_resting(connection) { Thread.new { connection.lock.try_enter }.value == false }

    expect(waited).to be true
    expect(connection.lock).to be no_lock
  end

  it "does not run it while the thread is in the middle of a statement" do
    connection = connection_class.new(querying, no_lock)

    expect(while_resting(connection) { raise "closed" }).to be false
    expect(connection.lock).to be no_lock
  end

  it "does not run it when the connection has just been returned, or its thread has ended" do
    [nil, Thread.new {}.tap(&:join)].each do |owner|
      expect(while_resting(connection_class.new(owner, no_lock)) { raise "closed" }).to be false
    end
  end

  it "does not touch the lock that a transactional test has given to the connection" do
    lock = Monitor.new
    connection = connection_class.new(resting, lock)

    expect(while_resting(connection) { raise "closed" }).to be false
    expect(connection.lock).to be lock
  end

  it "does not run it with a version of Active Record whose connections it does not know" do
    connection = Struct.new(:owner, :lock).new(resting, no_lock)

    expect(while_resting(connection) { raise "closed" }).to be false
  end

  it "gives the lock back when the block raises" do
    connection = connection_class.new(resting, no_lock)

    expect { while_resting(connection) { raise IOError } }.to raise_error(IOError)
    expect(connection.lock).to be no_lock
  end
end
