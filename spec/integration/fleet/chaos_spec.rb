# frozen_string_literal: true

require_relative "support/chaos"

RSpec.describe "a fleet whose processes die, freeze and restart at random", :fleet, :slow, :alone, :linux, lane: "default" do
  it "keeps every promise during twenty seconds of swaps", timeout: 240 do
    app = boot_app(workers: Chaos::WORKERS, preload: false, initializer: Chaos::SETTINGS)

    expect(Chaos.new(seed: RSpec.configuration.seed).run(app, seconds: 20)).to eq []
  end
end
