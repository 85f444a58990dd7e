# frozen_string_literal: true

require "fileutils"
require "hotswap"
require "logger"
require "stringio"
require "tmpdir"

# hotswap in the process of the specs themselves: settings, databases and log are the example's own, and it has
# to leave the gate open and empty.
RSpec.shared_context "with hotswap in this process" do
  let(:folder) { Pathname(Dir.mktmpdir("hs")).realpath }
  let(:log) { StringIO.new }

  around do |example|
    before = Hotswap.runtime
    Hotswap.runtime = Hotswap::Runtime.new(host: before.host)
    Hotswap.configuration.root = folder.to_s
    Hotswap.logger = Logger.new(log)
    example.run
  ensure
    Hotswap.runtime = before
    FileUtils.rm_rf(folder)
  end

  after do
    # The garbage collector gives back the passes of killed threads.
    GC.start
    expect(Hotswap::Native.inside).to eq 0
    expect(Hotswap::Native).not_to be_gate_closed
  end

  def gate = Hotswap::Gate

  def inside = Hotswap::Native.inside

  # As a swap does: new units wait, and no unit is inside.
  def with_closed_gate
    expect(Hotswap::Native.close_gate).to be true
    eventually { Hotswap::Native.try_seal_gate }
    yield
  ensure
    Hotswap::Native.reopen_gate
  end

  # A thread that waits at the gate, or for the condition of the block.
  def waiting_thread(&block)
    Thread.new(&block).tap do |thread|
      thread.report_on_exception = false
      eventually { thread.status == "sleep" }
    end
  end

  # The block's answer in a forked child of this process.
  def in_child(&block)
    reader, writer = IO.pipe(binmode: true)
    pid = fork { answer_and_exit(writer, &block) }
    writer.close
    answered, value = Marshal.load(reader.read)
    raise value unless answered
    value
  ensure
    reader.close
    kill_child(pid) if pid
  end

  def answer_and_exit(writer)
    answer = begin
      [true, yield]
    rescue Exception => error # rubocop:disable Lint/RescueException -- the parent has to hear of a failed expectation
      [false, "in the child: #{error.full_message(highlight: false)}"]
    end
    writer.write(Marshal.dump(answer))
    writer.close
  ensure
    # Without the exit handlers of RSpec and of the servers, which belong to the parent.
    exit!(0)
  end

  def kill_child(pid)
    Process.kill(:KILL, pid)
  rescue Errno::ESRCH
    nil # it has ended, as it should
  ensure
    Process.wait(pid)
  end
end
