# frozen_string_literal: true

require "tempfile"

module Bench
  # A program that runs as a user runs it, timed from its start to its end.
  module Command
    class Failed < StandardError; end
    # The program did not end within its time limit.
    class Endless < Failed; end

    class << self
      # @return [Float] seconds
      def run(*words, env: {}, chdir: WORK, input: File::NULL, output: File::NULL, patience: 600)
        Tempfile.create("said") do |said|
          options = {chdir: chdir, in: input, out: output, err: said.path, pgroup: true}
          began = Clock.now
          status = wait_for(Process.spawn(env, *words, **options), patience)
          seconds = Clock.now - began
          raise Endless, "#{words.join(" ")} had not ended after #{patience} s" unless status
          raise Failed, "#{words.join(" ")} ended with #{status.exitstatus || status}\n#{File.read(said.path)}" unless status.success?

          seconds
        end
      end

      # Does the same for a line of shell.
      def shell(line, **) = run("bash", "-eo", "pipefail", "-c", line, **)

      def there?(program) = ENV["PATH"].split(":").any? { |folder| File.executable?(File.join(folder, program)) }

      private

      # Returns nil if the program did not end in time. Kills such a program, and one that this process can no longer
      # wait for.
      def wait_for(pid, patience)
        waiter = Process.detach(pid)
        waiter.join(patience)&.value
      ensure
        if waiter.alive?
          Process.kill("KILL", -pid)
          waiter.join
        end
      end
    end
  end
end
