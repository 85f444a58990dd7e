# frozen_string_literal: true

require "open3"
require_relative "../support/project"

RSpec.describe "bin/lane", lane: "default" do
  it "keeps Bundler from removing the gems of other lanes, even if the user has set BUNDLE_CLEAN" do
    said, status = Open3.capture2e(Project.plain_environment("BUNDLE_CLEAN" => "true"), "bin/lane", "rails_8_1", "ruby", "-rbundler", "-e", "p Bundler.settings[:clean]",
      chdir: Project::ROOT.to_s, unsetenv_others: true)

    expect([said, status.exitstatus]).to eq ["false\n", 0]
  end
end
