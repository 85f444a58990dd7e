# frozen_string_literal: true

require "concurrent"
require_relative "support/fleet"
require_relative "support/rails_server"

RSpec.describe "swaps under load", :fleet do
  # processes: how many of them answer requests.
  shared_examples "a fleet that moves as one" do |processes, swaps: 8|
    it "loses no write, serves no old row after OK, fails no request, and leaves no files" do
      app.version
      generations = Generations.new(app)

      verdict = visited(app, generations) { swap(generations, swaps) }

      expect(verdict.broken).to eq []
      expect_all_on(app, generations.live, processes: processes)
      expect_nothing_left(app)
      expect(leader_pid(app)).to be_in_group_of(app)
    end
  end

  matcher :be_in_group_of do |server|
    match { |pid| server.pids.include?(pid) }
  end

  def puma_config(app, text)
    app.write("config/puma.rb", "#{app.root.join("config/puma.rb").read}\n#{text}\n")
  end

  context "with Puma in one process" do
    let(:app) { boot_app(whole: true) }

    it_behaves_like "a fleet that moves as one", 1
  end

  context "with a cluster that preloads" do
    let(:app) { boot_app(workers: 2, whole: true) }

    it_behaves_like "a fleet that moves as one", 2
  end

  context "with a cluster that does not" do
    let(:app) { boot_app(workers: 2, preload: false) }

    it_behaves_like "a fleet that moves as one", 2
  end

  context "with as many workers as the machine has processors" do
    let(:app) { boot_app(workers: "auto") }

    it_behaves_like "a fleet that moves as one", Concurrent.available_processor_count.to_i, swaps: 4
  end

  context "with sixteen workers", :slow, :alone, lane: "default" do
    let(:app) { boot_app(workers: 16) }

    it_behaves_like "a fleet that moves as one", 16, swaps: 5
  end

  context "with bin/rails server" do
    let(:app) { keep(RailsServer.start(workers: 2)) }

    it_behaves_like "a fleet that moves as one", 2
  end

  context "with fork_worker" do
    let(:app) { boot_app(workers: 3, preload: false) { |server| puma_config(server, "fork_worker 0") } }

    it_behaves_like "a fleet that moves as one", 3
  end
end
