# frozen_string_literal: true

require "sqlite3"
require_relative "unit_helper"

RSpec.describe Hotswap::Connections do
  include_context "with hotswap in this process"

  let(:path) { folder.join("app.sqlite3").to_s }
  let!(:database) { Hotswap.register(path) }

  def open_files
    Dir.children("/proc/self/fd").filter_map do |fd|
      File.readlink("/proc/self/fd/#{fd}")
    rescue Errno::ENOENT
      nil # the descriptor of the listing itself
    end
  end

  def disconnect = Hotswap.runtime.connections.disconnect(database, 1)

  it "makes the process a member with its first connection, and not before" do
    expect(Hotswap::Native.memberships).not_to include(path)
    SQLite3::Database.new(path).close

    expect(Hotswap::Native.memberships).to include(path)
    expect(File).to exist("#{path}.hotswap")
  end

  it "ignores databases that are not managed" do
    other = folder.join("other.sqlite3").to_s
    SQLite3::Database.new(other).close
    SQLite3::Database.new(":memory:").close

    expect(Hotswap::Native.memberships).not_to include(other)
    expect(File).not_to exist("#{other}.hotswap")
  end

  {
    "a path" => ->(path) { SQLite3::Database.new(path) },
    "a Pathname" => ->(path) { SQLite3::Database.new(Pathname(path).to_s) },
    "a URI" => ->(path) { SQLite3::Database.new("file:#{path}", flags: SQLite3::Constants::Open::READWRITE | SQLite3::Constants::Open::URI) },
    "a UTF-16 name" => ->(path) { SQLite3::Database.new(path.encode("UTF-16LE")) },
    "options" => ->(path) { SQLite3::Database.new(path, results_as_hash: true) },
    "a hash of options" => ->(path) { SQLite3::Database.new(path, {"results_as_hash" => true, :readonly => true}) },
    "open" => ->(path) { SQLite3::Database.open(path) },
    "a subclass" => ->(path) { Class.new(SQLite3::Database).new(path) }
  }.each do |how, open|
    it "names an open connection that was opened by #{how}" do
      SQLite3::Database.new(path).close
      connection = open.call(path)

      expect { disconnect }.to raise_error(Hotswap::DisconnectRefused, /has 1 connection to app\.sqlite3 open that was opened .*; close it .*Hotswap\.on_disconnect/)
      connection.close
      expect { disconnect }.not_to raise_error
    end
  end

  it "passes options through to the gem" do
    SQLite3::Database.new(path).close
    readonly = SQLite3::Database.new(path, readonly: true)

    expect(readonly).to be_readonly
    expect { readonly.execute("CREATE TABLE t (id)") }.to raise_error(SQLite3::ReadOnlyException)
  ensure
    readonly.close
  end

  it "counts open connections" do
    connections = Array.new(2) { SQLite3::Database.new(path) }

    expect { disconnect }.to raise_error(Hotswap::DisconnectRefused, /has 2 connections to app\.sqlite3 open that were opened/)
    connections.each(&:close)
  end

  it "forgets a connection that could not be opened" do
    expect { SQLite3::Database.new(path, readonly: true) }.to raise_error(SQLite3::CantOpenException)
    expect { disconnect }.not_to raise_error
  end

  it "closes a garbage-collected connection" do
    Array.new(5) { Thread.new { SQLite3::Database.new(path) && nil } }.each(&:join)

    expect { disconnect }.not_to raise_error
    expect(open_files).not_to include(path)
  end

  it "is inside the gate while a block has the connection" do
    SQLite3::Database.new(path) { expect(gate.running).to match [/\Aopening app\.sqlite3 for/] }

    expect(inside).to eq 0
    expect { disconnect }.not_to raise_error
  end

  it "does not open a connection while the gate is closed" do
    thread = with_closed_gate do
      waiting_thread { SQLite3::Database.new(path).close }.tap { expect(File).not_to exist(path) }
    end
    thread.join

    expect(File).to exist(path)
  end

  it "closes Active Record's, also those of an adapter with SQLite in its name", lane: "default" do
    left = in_child do
      require "active_record"
      ActiveRecord::ConnectionAdapters.register("my_sqlite3", "ActiveRecord::ConnectionAdapters::SQLite3Adapter", "active_record/connection_adapters/sqlite3_adapter")
      ActiveRecord::Base.establish_connection(adapter: "my_sqlite3", database: path)
      ActiveRecord::Base.connection_pool.with_connection { |connection| connection.execute("CREATE TABLE items (id)") }
      opened = open_files.include?(path)
      disconnect
      [opened, open_files.include?(path)]
    end

    expect(left).to eq [true, false]
  end

  describe ".on_disconnect" do
    it "calls the block with the database" do
      connection = SQLite3::Database.new(path)
      told = []
      Hotswap.on_disconnect { |which| told << which and connection.close }
      disconnect

      expect(told).to eq [database]
    end

    it "refuses the swap if the block raises" do
      Hotswap.on_disconnect { raise "not now" }

      expect { disconnect }.to raise_error("not now")
    end

    it "needs a block" do
      expect { Hotswap.on_disconnect }.to raise_error(ArgumentError, /block/)
    end
  end
end
