# frozen_string_literal: true

require_relative "gem_that_works"

RSpec.describe "the installed gem", :package, lane: "default" do
  before(:context) { @gems = GemInstallation.make }

  include_examples "a gem that works"

  it "builds without a warning" do
    Dir.mktmpdir("hs") do |folder|
      expect(gems.run("gem", "build", "--output", File.join(folder, "hotswap.gem"), "hotswap.gemspec", chdir: Project::ROOT)).not_to include("WARNING")
    end
  end

  it "contains Cargo.lock, but no crates" do
    expect(gems.contents).to include("/Cargo.lock\n", "/ext/hotswap/src/lib.rs\n")
    expect(gems.contents.scan(%r{/ext/([^/\n]+)/}).flatten.uniq).to match_array %w[hotswap hotswap-core]
  end

  include_examples "a bin/hotswap that works", "bundle binstubs hotswap", %w[bundle binstubs hotswap]
  include_examples "a bin/hotswap that works", "bin/rails generate hotswap:install", %w[ruby bin/rails generate hotswap:install]
end
