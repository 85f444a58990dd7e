# frozen_string_literal: true

require "tempfile"

module Bench
  # A program as a user runs it, timed from its start to its end.
  module Command
    class Failed < StandardError; end
    # It was given so long, and did not end.
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

      # The same for a line of shell.
      def shell(line, **) = run("bash", "-eo", "pipefail", "-c", line, **)

      def there?(program) = ENV["PATH"].split(":").any? { |folder| File.executable?(File.join(folder, program)) }

      private

      # nil for one that did not end in time. Neither that one nor one that we cannot wait for any longer stays.
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
