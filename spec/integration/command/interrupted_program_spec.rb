# frozen_string_literal: true

require_relative "../../support/items_server"
require_relative "../crash/support/watched_server"

# `Hotswap::CLI.run` in a console, a task or a thread of the server: what ends the wait for a push ends the push.
RSpec.describe "a push from a program that is interrupted", lane: "default" do
  # How the wait for `push` is ended. `waiting` returns when the push waits for the application to come to rest.
  kinds = {
    "Timeout" => "give_up_while_it_waits.call",
    "Thread#raise" => "thread = Thread.new { push.call }; waiting.call; thread.raise(ArgumentError); thread.join",
    "Thread#kill" => "thread = Thread.new { push.call }; waiting.call; thread.kill.join",
    "the end of its fiber" => <<~RUBY,
      Reactor.run do
        pushing = Fiber.schedule { push.call }
        Fiber.schedule { waiting.call; pushing.raise(ArgumentError) }
      end
    RUBY
    "Thread#raise while it reads a StringIO" => <<~RUBY
      source.replace(StringIO.new(File.binread(source.path)))
      thread = Thread.new { push.call }; waiting.call; thread.raise(ArgumentError); thread.join
    RUBY
  }
  signals = {
    "Ctrl-C" => "Thread.new { waiting.call; Process.kill(:INT, $$) }; push.call",
    "Ctrl-C in irb" => 'trap(:INT) { raise RangeError, "abort then interrupt!" }; Thread.new { waiting.call; Process.kill(:INT, $$) }; push.call'
  }

  # INTERRUPT.call(KIND, FILE) returns what was raised, and the output of the push.
  preamble = <<~RUBY
    require "hotswap"
    require "stringio"
    require "timeout"
    require #{File.expand_path("../../support/reactor", __dir__).inspect}

    Source = Struct.new(:path) do
      def stdin = @stdin || File.open(File::NULL)
      def replace(io) = (@stdin = io)
      def name = @stdin ? "-" : path
    end

    INTERRUPT = lambda do |kind, file|
      said, source = StringIO.new, Source.new(file)
      push = -> { Hotswap::CLI.run(["cp", source.name, "database"], stdin: source.stdin, stdout: said, stderr: said) }
      waiting = -> { sleep 0.01 until said.string.include?("Swapping") }
      give_up_while_it_waits = lambda do |seconds = 0.3|
        Timeout.timeout(seconds) { push.call }
      rescue Timeout::Error
        raise if said.string.include?("Swapping")
        give_up_while_it_waits.call(seconds * 2)
      end
      Thread.report_on_exception = false
      raised = begin
        eval(kind) && nil
      rescue ArgumentError, RangeError, Timeout::Error, Interrupt => error
        error.class
      end
      [raised, said.string].inspect
    end
  RUBY

  before do
    FileUtils.rm_f([app.root.join("go-on"), app.root.join("waits")])
    app.file("storage/app.sqlite3", ItemsServer::SCHEMA, ["old"], journal_mode: "wal") if app.version != "old"
    @slow = Thread.new { app.get("/wait") }
    eventually { app.root.join("waits").exist? }
    @logged = app.log.size
  end

  after { let_the_request_end }

  let(:new_file) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]) }

  def let_the_request_end
    FileUtils.touch(app.root.join("go-on"))
    @slow.join
  end

  def workers = app.process.members - [app.pid]

  def log_of_this_push = app.log[@logged..]

  def waiting_worker
    eventually { log_of_this_push.include?("acquiring swap lock") && workers.first }
  end

  # The program's answer to one line is one line.
  def program(code)
    IO.popen([Project.bundled_environment, *Project::RUBY, "-e", "$stdout.sync = true\n#{code}"],
      "r+", chdir: app.root.to_s, err: [:child, :out], unsetenv_others: true) { |io| yield io }
  end

  # The worker has given up when the program goes on: it only has to end, while the request goes on. No swap follows when
  # it could.
  def expect_no_swap
    expect(app.root.glob("storage/.*hotswap*")).to eq []
    eventually { workers.empty? && log_of_this_push.include?("command failed") }
    let_the_request_end
    expect(app.version).to eq "old"
  end

  context "outside the server's process" do
    running_app(ItemsServer)

    kinds.merge(signals).each do |what, kind|
      it "by #{what} stops its worker, and swaps nothing" do
        program("#{preamble}\nputs INTERRUPT.call(#{kind.inspect}, #{new_file.inspect}); gets") do |io|
          expect(io.gets).to match(/\A\[(nil|\w+Error|\w+::Error|Interrupt), "Swapping database...\\n"\]\n\z/)
          expect_no_swap
          io.puts
        end
      end
    end

    # Fails where the second interruption ends the wait as well.
    it "by two Ctrl-C returns only when the worker has ended" do
      program("#{preamble}\nputs INTERRUPT.call('push.call', #{new_file.inspect}); gets") do |io|
        worker = waiting_worker
        Process.kill(:STOP, worker)
        3.times { Process.kill(:INT, io.pid) && sleep(0.05) }
        expect(io.wait_readable(0.3)).to be_nil
        Process.kill(:CONT, worker)

        expect(io.gets).to eq %([Interrupt, "Swapping database...\\n"]\n)
        expect_no_swap
        io.puts
      end
    end

    it "gives up on a worker that does not end, and says so" do
      less = "Hotswap::CLI.send(:remove_const, :PATIENCE); Hotswap::CLI::PATIENCE = 0.3"
      program("#{preamble}#{less}\nputs INTERRUPT.call('push.call', #{new_file.inspect}); gets") do |io|
        worker = waiting_worker
        Process.kill(:STOP, worker)
        Process.kill(:INT, io.pid)

        expect(io.gets).to match(/Interrupt.*Interrupted, but the server has not confirmed that it stopped/)
        Process.kill(:CONT, worker)
        eventually { workers.empty? }
        expect_no_swap
        io.puts
      end
    end
  end

  context "in a thread of the server" do
    # What it is to do comes in a file, and the answer goes into another one.
    running_app(ItemsServer) do |server|
      server.write("config.ru", <<~RUBY)
        #{preamble}
        Thread.new do
          loop do
            sleep 0.01 until File.exist?("interruption")
            kind, file = File.read("interruption").split("\\0")
            File.delete("interruption")
            File.write("answer.new", INTERRUPT.call(kind, file))
            File.rename("answer.new", "answer")
          end
        end
        #{server.root.join("config.ru").read}
      RUBY
    end

    before { FileUtils.rm_f(app.root.join("answer")) }

    kinds.each do |what, kind|
      it "by #{what} stops its worker, and swaps nothing" do
        app.write("told", "#{kind}\0#{new_file}")
        File.rename(app.root.join("told"), app.root.join("interruption"))
        eventually { app.root.join("answer").exist? }

        expect(app.root.join("answer").read).to match(/\A\[(nil|\w+Error|\w+::Error), "Swapping database...\\n"\]\z/)
        expect_no_swap
      end
    end
  end
end
