# frozen_string_literal: true

require "etc"

# The spec reads these priorities from the kernel while a worker has received half of a push. They build on this run's own
# priority, which is not 0 under `nice bin/test`.
own = Process.getpriority(Process::PRIO_PROCESS, 0)

{"" => [own, [own, 5].max].uniq, "Hotswap.configure { |config| config.low_priority = false }\n" => [own]}.each do |setting, expected|
  RSpec.describe "the threads of a worker with #{setting.empty? ? "nothing set" : "low_priority off"}" do
    before(:context) { @app = ItemsServer.start(config: "require \"hotswap\"\n#{setting}#{ItemsServer::APPLICATION}") }
    after(:context) { @app&.tear_down }

    attr_reader :app

    def nice(process) = Dir["/proc/#{process}/task/*/stat"].map { |file| File.read(file).rpartition(")").last.split[16].to_i }

    it(setting.empty? ? "give way to the application where they copy, and not where they swap" : "are all as urgent as the application's", linux: setting.empty?) do
      push = FedCommand.start(app, "cp", "-", "database")
      push.write(File.binread(app.database_path, 4096))
      # Not the process that starts it and ends at once.
      worker = eventually { app.process.members.find { |pid| ServerProcess.command_line(pid).start_with?("hotswap worker") } }

      eventually { expect(nice(worker).uniq).to match_array(expected) }
      expect(nice(app.pid).uniq).to eq [own]
    ensure
      push.close
      push.wait
    end
  end
end

# Only Linux tells how long a thread has waited for a processor.
RSpec.describe "a push while other programs keep every processor busy", :alone, :linux, lane: "default" do
  # Random keys: looking them up takes time.
  table = <<~SQL
    CREATE TABLE visitors (id TEXT PRIMARY KEY NOT NULL, email TEXT NOT NULL);
    CREATE UNIQUE INDEX visitors_by_email ON visitors (email);
    INSERT INTO visitors WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
      SELECT hex(randomblob(16)), hex(randomblob(12)) || '@example.com' FROM n;
  SQL

  before { @app = keep(ItemsServer.start) }

  it "says that it is waiting for a processor" do
    file = @app.file("new.sqlite3", "#{ItemsServer::SCHEMA}; #{table}", %w[new])
    # The kernel needs a second to notice that processes wait, so the check has to last longer.
    programs = Array.new(Etc.nprocessors * 4) { Process.spawn("yes", out: File::NULL) }

    Terminal.open do |terminal, shown|
      expect(@app.hotswap("cp", file, "storage/app.sqlite3", "--skip-schema-check", err: terminal, env: {"TERM" => "xterm"})).to have_attributes(exit_code: 0)
      eventually { shown.include?("Swapping database...") }
      expect(shown).to match(/Other programs keep every processor busy\. The check takes longer\.\r$/)
        .and match(/checking, waiting for a processor \d+s/)
    end
  ensure
    programs.each do |program|
      Process.kill("KILL", program)
      Process.wait(program)
    end
  end
end
