# frozen_string_literal: true

module Bench
  # What a thousand databases of customers cost an application that opens none of them: the boot against the same
  # application without hotswap, and descriptors, inotify watches and memory of a process against one with two databases.
  # Then how long `hotswap status` takes.
  class Tenants < Measure
    MANY = 1000
    FEW = 2
    WORKERS = 4
    BOOT = {ratio: ..1.05}.freeze
    # A socket more or less says nothing, a thousand descriptors would.
    DESCRIPTORS = {beyond: ..5}.freeze
    WATCHES = {beyond: ..0}.freeze
    # The garbage collector alone changes the memory of a process by this much.
    MEMORY = {beyond: ..2}.freeze
    # As for four databases.
    STATUS = Status::TARGET
    INITIALIZER = <<~RUBY
      Hotswap.configuration.database_paths = ["storage/production.sqlite3", "storage/tenants/*/main.sqlite3"] if defined?(Hotswap)
    RUBY

    def rows
      lab.say "boot with #{MANY} tenants and #{WORKERS} processes"
      rounds = lab.rounds(plan.full? ? 6 : 2, hotswap: -> { boot(MANY) }, few: -> { boot(FEW) }, without: -> { boot(MANY, :without) })
      [
        against_none(rounds, "time", :wall, "s"),
        against_none(rounds, "processor time", :processor, "s"),
        against_few(rounds, "descriptors of a process", :descriptors, nil, DESCRIPTORS),
        against_few(rounds, "inotify watches of a process", :watches, nil, WATCHES),
        against_few(rounds, "memory of a process", :memory, "MB", MEMORY),
        status
      ]
    end

    private

    def against_none(rounds, what, key, unit)
      Row.new("boot, #{MANY} tenants, #{WORKERS} processes: #{what}", value: rounds[:hotswap, key].median, unit: unit,
        against: {"without hotswap" => rounds[:without, key].median}, ratio: rounds.ratio(:hotswap, :without, key), target: BOOT, runs: rounds.size)
    end

    def against_few(rounds, what, key, unit, target)
      Row.new("#{MANY} tenants, none of them open: #{what}", value: rounds[:hotswap, key].median, unit: unit,
        against: {"with #{FEW} tenants" => rounds[:few, key].median}, target: target, runs: rounds.size)
    end

    # Each tenant has the tables of a small application: what SQLite would have to read to look into it.
    def status
      lab.say "status with #{MANY} tenants"
      site(MANY, :hotswap, lab.data.others.first) do |site|
        site.start_workers
        site.warm
        rounds = lab.rounds(plan.full? ? 30 : 10, all: -> { milliseconds(site.ask("status")) }, named: -> { milliseconds(site.ask("status", "storage/tenants/*/main.sqlite3")) })
        Row.new("hotswap status, #{MANY} tenants", value: rounds[:all].median, unit: "ms",
          against: {"names their pattern" => rounds[:named].median}, target: STATUS, runs: rounds.size)
      end
    end

    def boot(tenants, bundle = :hotswap)
      site(tenants, bundle) do |site|
        wall = Clock.time { site.start_workers }
        processor = site.processes.sum(&:processor_time)
        site.warm
        {wall:, processor:, **figures(site.processes)}
      end
    end

    # A site that is about to boot.
    def site(tenants, bundle, content = File::NULL)
      lab.folder do |folder|
        site = Site.new(File.join(folder, "site"), bundle: bundle, workers: WORKERS)
        site.install(lab.data.others, lab.data.path(Data::SIZES["1 MB"]))
        File.write(site.path("config/initializers/tenants.rb"), INITIALIZER)
        tenants.times { |number| make_tenant(site.path("storage/tenants/#{number}"), content) }
        lab.settle
        yield site
      ensure
        site&.stop
      end
    end

    # An empty file is a database, too.
    def make_tenant(folder, content)
      FileUtils.mkdir_p(folder)
      File.write(File.join(folder, "main.sqlite3"), File.binread(content))
    end

    # The largest of the processes.
    def figures(processes)
      {descriptors: processes.map(&:descriptors).max, watches: processes.map(&:watches).max, memory: megabytes(processes.map(&:own_memory).max)}
    end
  end
end
