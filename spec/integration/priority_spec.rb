# frozen_string_literal: true

# Read from the kernel while a worker has half of a push.
{"" => [0, 10], "Hotswap.configure { |config| config.low_priority = false }\n" => [0]}.each do |setting, expected|
  RSpec.describe "the threads of a worker with #{setting.empty? ? "nothing set" : "low_priority off"}" do
    before(:context) { @app = ItemsServer.start(config: "require \"hotswap\"\n#{setting}#{ItemsServer::APPLICATION}") }
    after(:context) { @app&.tear_down }

    attr_reader :app

    def nice(process) = Dir["/proc/#{process}/task/*/stat"].map { |file| File.read(file).rpartition(")").last.split[16].to_i }

    it((expected == [0]) ? "are all as urgent as the application's" : "give way to the application where they copy, and not where they swap") do
      push = FedCommand.start(app, "cp", "-", "database")
      push.write(File.binread(app.database_path, 4096))
      worker = eventually { (app.process.members - [app.pid]).first }

      eventually { expect(nice(worker).uniq).to match_array(expected) }
      expect(nice(app.pid).uniq).to eq [0]
    ensure
      push.close
      push.wait
    end
  end
end
