# frozen_string_literal: true

require_relative "support/kills_beside_writers"

RSpec.describe "a push of some tables during which a random process is killed at a random moment", :slow, lane: "default" do
  {"one process" => 0, "a cluster" => 2}.each do |what, workers|
    it "loses no write that was acknowledged, and leaves articles of one push, in #{what}", timeout: 240 do
      kills = KillsBesideWriters.new(workers: workers, seed: RSpec.configuration.seed).run(6)
      RSpec.configuration.reporter.message("        #{kills}, #{kills.acknowledged.size} notes")

      expect(kills.broken).to eq []
      expect(kills.acknowledged.size).to be > 50
    end
  end
end
