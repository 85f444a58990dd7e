# frozen_string_literal: true

require_relative "support/random_kills"

# What protects is that nothing has to be undone: the order in push/replace.rs, the locks that go with a process, and the
# sweep at boot (server/session.rs, sweep) and before a push.
RSpec.describe "a command during which a random process is killed at a random moment", :slow, lane: "default" do
  {"one process" => 0, "a cluster" => 2}.each do |what, workers|
    it "leaves the old or the new database, no files, and a site that boots, in #{what}", timeout: 240 do
      kills = RandomKills.new(workers: workers, seed: RSpec.configuration.seed).run(8)
      RSpec.configuration.reporter.message("        #{kills}")

      expect(kills.broken).to eq []
    end
  end
end
