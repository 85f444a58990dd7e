# frozen_string_literal: true

require "psych"
require_relative "../support/project"

RSpec.describe "the workflows", lane: "default" do
  files = Project::ROOT.glob(".github/workflows/*.yml")

  files.each do |file|
    it "#{file.basename} pins every action to a commit, with its version" do
      lines = file.readlines.grep(/uses:/)

      expect(lines).not_to be_empty
      expect(lines).to all(match(%r{uses: [\w-]+/[\w/-]+@\h{40} # v\d+\.\d+}))
    end

    it "#{file.basename} may only read, unless a job says otherwise" do
      expect(Psych.safe_load_file(file).fetch("permissions")).to eq("contents" => "read")
    end
  end

  it "build and try a gem for each platform and each Ruby that the gem is for" do
    jobs = Psych.safe_load_file(Project::ROOT.join(".github/workflows/release.yml")).fetch("jobs")
    build = jobs.fetch("native").fetch("steps").filter_map { |step| step["run"] }.join
    trial, trial_on_macs = jobs.values_at("try", "try-macos").map { |job| job.fetch("strategy").fetch("matrix") }
    oldest = Gem::Specification.load(Project::ROOT.join("hotswap.gemspec").to_s).required_ruby_version

    expect(build).to include(trial.fetch("ruby").join(","))
    expect(trial.fetch("ruby").map { |version| oldest.satisfied_by?(Gem::Version.new("#{version}.0")) }).to all(be true)
    expect(trial_on_macs.fetch("ruby")).to eq trial.fetch("ruby")
    expect(trial.fetch("platform") + trial_on_macs.fetch("platform")).to eq jobs.fetch("native").fetch("strategy").fetch("matrix").fetch("platform")
  end
end
