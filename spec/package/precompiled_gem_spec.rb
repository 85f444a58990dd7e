# frozen_string_literal: true

require_relative "gem_that_works"

# Building it installs the extension in lib/ again, so no other spec may run meanwhile.
RSpec.describe "the precompiled gem", :package, lane: "default" do
  before(:context) { @gems = GemInstallation.make_precompiled }

  include_examples "a gem that works"

  it "contains its library, and needs neither Rust nor rb_sys" do
    expect(gems.contents).to include("/lib/hotswap/hotswap.so\n")
    expect(gems.contents).not_to match(/\.rs$|Cargo|extconf/)
    dependencies = gems.run("gem", "dependency", "--local", "^hotswap$", chdir: "/")
    expect(dependencies).to match(/sqlite3 \(.*>= 1\.7/)
    expect(dependencies).not_to include("rb_sys")
    expect { gems.run("cargo", "--version", chdir: "/") }.to raise_error(Errno::ENOENT)
  end

  include_examples "a bin/hotswap that works", "bin/rails generate hotswap:install", %w[ruby bin/rails generate hotswap:install]
end
