# frozen_string_literal: true

require "rbconfig"

# Programs that know nothing of hotswap, and open a database, use it and close it a thousand times a second.
class Foreigners
  # Says when each visit began and ended, what the first row was, and which row it added.
  PROGRAM = <<~'RUBY'
    require "sqlite3"
    path, name, writes = ARGV[0], ARGV[1], ARGV[2] == "writes"
    now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    (1..).each do |number|
      token = "#{name}-#{number}"
      began = now.call
      begin
        db = SQLite3::Database.new(path, readwrite: true)
        db.busy_timeout = 2_000
        db.execute("BEGIN IMMEDIATE") if writes
        version = db.get_first_value("SELECT name FROM items WHERE id = 1")
        db.execute("INSERT INTO items (name) VALUES (?)", [token]) if writes
        db.execute("COMMIT") if writes
        said = "#{version} #{token if writes}"
      rescue SQLite3::Exception => error
        said = "error: #{error.message}"
      ensure
        db&.close
      end
      $stdout.syswrite("#{began} #{now.call} #{said}\n")
      sleep 0.001
    end
  RUBY

  Visit = Struct.new(:began, :ended, :version, :token, :error)

  # kinds: for each of them what it does, "reads" or "writes". What they say goes into files, so that a slow reader
  # of it does not slow them down.
  def initialize(database, folder, kinds)
    sqlite3 = Gem.loaded_specs.fetch("sqlite3").full_require_paths.flat_map { |path| ["-I", path] }
    @logs = kinds.each_index.map { |index| File.join(folder, "foreigner-#{index}.log") }
    @pids = kinds.each_with_index.map do |kind, index|
      Process.spawn(RbConfig.ruby, "--disable-gems", *sqlite3, "-e", PROGRAM, database, "f#{index}", kind, out: @logs[index], err: [:child, :out])
    end
  end

  def stop
    until @pids.empty?
      Process.kill(:KILL, @pids.first)
      Process.wait(@pids.shift)
    end
  end

  def visits
    @logs.flat_map do |file|
      File.readlines(file, chomp: true).map do |line|
        began, ended, said = line.split(" ", 3)
        next Visit.new(began.to_f, ended.to_f, nil, nil, said) if said.start_with?("error:")

        Visit.new(began.to_f, ended.to_f, *said.split(" "))
      end
    end
  end
end
