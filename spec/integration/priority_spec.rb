# frozen_string_literal: true

# The spec reads these priorities from the kernel while a worker has received half of a push. They build on this run's own
# priority, which is not 0 under `nice bin/test`.
own = Process.getpriority(Process::PRIO_PROCESS, 0)

{"" => [own, [own, 10].max].uniq, "Hotswap.configure { |config| config.low_priority = false }\n" => [own]}.each do |setting, expected|
  RSpec.describe "the threads of a worker with #{setting.empty? ? "nothing set" : "low_priority off"}" do
    before(:context) { @app = ItemsServer.start(config: "require \"hotswap\"\n#{setting}#{ItemsServer::APPLICATION}") }
    after(:context) { @app&.tear_down }

    attr_reader :app

    def nice(process) = Dir["/proc/#{process}/task/*/stat"].map { |file| File.read(file).rpartition(")").last.split[16].to_i }

    it(setting.empty? ? "give way to the application where they copy, and not where they swap" : "are all as urgent as the application's") do
      push = FedCommand.start(app, "cp", "-", "database")
      push.write(File.binread(app.database_path, 4096))
      worker = eventually { (app.process.members - [app.pid]).first }

      eventually { expect(nice(worker).uniq).to match_array(expected) }
      expect(nice(app.pid).uniq).to eq [own]
    ensure
      push.close
      push.wait
    end
  end
end
