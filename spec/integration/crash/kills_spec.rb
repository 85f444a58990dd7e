# frozen_string_literal: true

require_relative "support/random_kills"

# Nothing has to be undone after a kill: because of the order in push/replace.rs, because locks end with their process,
# and because of the sweep at boot (server/session.rs, sweep) and before a push.
RSpec.describe "a command during which a random process is killed at a random moment", :slow, lane: "default" do
  {"one process" => 0, "a cluster" => 2}.each do |what, workers|
    it "leaves the old or the new database, no files, and a site that boots, in #{what}", timeout: 240 do
      kills = RandomKills.new(workers: workers, seed: RSpec.configuration.seed).run(8)
      RSpec.configuration.reporter.message("        #{kills}")

      expect(kills.broken).to eq []
    end
  end
end
