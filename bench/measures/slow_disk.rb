# frozen_string_literal: true

require "open3"

module Bench
  # How a push affects requests while each sync takes a second, as it can when another program loads the disk. A
  # preloaded library delays the syncs of the server and its workers, because no load slows down every machine's disk
  # alike.
  class SlowDisk < Measure
    SIZE = Data::SIZES.fetch("1 MB")
    RATE = 100
    SOURCE = File.expand_path("../slow_disk.c", __dir__)
    # With the default max_pause, and with one that is long enough for two syncs.
    PUSHES = {"as configured" => %w[--timeout 10], "--max-pause 5" => %w[--timeout 10 --max-pause 5]}.freeze

    def rows
      lab.folder do |folder|
        library = File.join(folder, "slow_disk.so")
        next [Row.left_out(name("as configured"), "there is no C compiler to build the library")] unless compiled(library)

        slow = File.join(folder, "slow")
        lab.site(SIZE, environment: {"LD_PRELOAD" => library, "SLOW_DISK" => slow}) do |site|
          PUSHES.map { |how, options| row(site, slow, how, options) }
        end
      end
    end

    private

    def name(how) = "longest silence, push of #{SIZE} on a disk with syncs of 1 s: #{how}"

    def compiled(library)
      _, status = Open3.capture2e("cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE)
      status.success?
    rescue Errno::ENOENT
      false
    end

    def row(site, slow, how, options)
      lab.say name(how)
      ended = nil
      load = Load.on(site, gets: RATE) do |running|
        running.window(:settling) { sleep 1 }
        running.window(:idle) { sleep plan.seconds }
        FileUtils.touch(slow)
        ended = running.window(:push) { push(site, options) }
        FileUtils.rm(slow)
        site.settle
      end
      Row.new(name(how), value: load.silences(:push).max, unit: "ms", against: {"no push" => load.silences(:idle).max}, runs: 1,
        note: "the push #{ended}")
    end

    # Returns how long the push took and its exit status.
    def push(site, options)
      began = Clock.now
      status = exit_status { site.push(lab.data.path(SIZE, "v2"), *options) }
      "took #{(Clock.now - began).round(2)} s, exit status #{status}"
    end

    def exit_status
      yield
      0
    rescue Command::Failed => error
      error.message[/ ended with (\d+)$/, 1] or raise
    end
  end
end
