# frozen_string_literal: true

module Bench
  # How transfers affect the memory of the application, and how much memory a worker takes.
  class Memory < Measure
    APPLICATION = {value: ..5}.freeze
    WORKER = {value: ..64}.freeze

    def rows = on_contents { |content| lab.folder { |folder| lab.site(plan.big, content) { |site| watch(site, content, folder) } } }

    private

    def watch(site, content, folder)
      watches = transfers(site, content, folder).to_h do |name, transfer|
        lab.say "memory during a #{name} of #{plan.big} in #{content}"
        watch = Watch.during(site, &transfer)
        site.settle
        [name, watch]
      end
      watches.map { |name, watch| application(name, watch) } + [worker(watches.values)]
    end

    def transfers(site, content, folder)
      file = lab.data.path(plan.big, "v2", content)
      {
        "push from a file" => -> { site.push(file) }, "push through a pipe" => -> { site.push_pipe(file) },
        "pull to a file" => -> { site.pull(File.join(folder, "copy.sqlite3")) }, "pull into a pipe" => -> { site.pull_stream }
      }
    end

    def application(name, watch)
      Row.new("memory of the application, #{name} of #{plan.big}: growth", value: megabytes(watch.growth), unit: "MB", target: APPLICATION)
    end

    def worker(watches)
      Row.new("memory of a worker, #{plan.big}: the most it had of its own", value: watches.map { |watch| megabytes(watch.worker_peak) }.max, unit: "MB", target: WORKER)
    end
  end
end
