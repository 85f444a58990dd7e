# frozen_string_literal: true

require "hotswap"
require_relative "../support/hotswap_command"
require_relative "../support/project"

RSpec.describe "the documents", lane: "default" do
  before(:context) { @known_options = HotswapCommand.run("help", "cp", chdir: Project::ROOT).stdout.scan(/--[a-z-]+/) }

  pages = Project::ROOT.glob("{*,docs/*}.md")

  pages.each do |page|
    name = page.relative_path_from(Project::ROOT).to_s

    it "#{name} has no broken links" do
      links = page.read.scan(/\]\(([^)\s]+)\)/).flatten.grep_v(/\A(https?:|#)/)

      expect(links.reject { |link| page.dirname.join(link.sub(/#.*/, "")).exist? }).to eq []
    end

    it "#{name} names only settings that exist" do
      settings = page.read.scan(/config\.hotswap\.(\w+)/).flatten.uniq

      expect(settings.reject { |setting| Hotswap.configuration.respond_to?(setting) }).to eq []
    end

    it "#{name} names only options that exist" do
      options = page.read.lines.grep(/hotswap cp/).flat_map { |line| line[/hotswap cp.*?(?=[`|;]|$)/].to_s.scan(/ (--[a-z-]+)/) }.flatten.uniq

      expect(options - @known_options).to eq []
    end
  end

  Project::ROOT.glob("docs/*.md").reject { |page| %w[benchmarks.md protocol.md].include?(page.basename.to_s) }.each do |page|
    it "#{page.basename} names the specs that prove it, and the README links to it" do
      expect(page.read).to match(/^Specs?: \[/)
      expect(Project::ROOT.join("README.md").read).to include("(docs/#{page.basename})")
    end
  end

  it "README.md quotes figures that bin/bench printed" do
    printed = Project::ROOT.join("bench/results/latest.md").readlines.filter_map { |line| line[/\A\|(.*)\|\Z/, 1]&.split("|")&.map(&:strip) }
    quoted = Project::ROOT.join("README.md").read[/^## Measured\n.*?(?=^## )/m].scan(/^\| (\w.*?) \| (.*?) \| (.*?) ?\|$/)

    expect(quoted.size).to be > 5
    unfounded = quoted.reject { |name, value, against| printed.any? { |row| row.first(2) == [name, value] && row[2].start_with?(against) } }
    expect(unfounded).to eq []
  end

  # A quoted message has "…" where a value goes. Every part between has to be in the source.
  it "docs/troubleshooting.md quotes only messages that exist" do
    source = Project::ROOT.glob("{lib,ext/*/src}/**/*.r[bs]").map(&:read).join("\n").gsub(/\\\n\s*/, "").gsub('" "', "").gsub('\\"', '"')
    quotes = Project::ROOT.join("docs/troubleshooting.md").read[/^## 1: .*?(?=^## The log)/m].scan(/^\| (`.*?) \| /)
      .flat_map { |(cell)| cell.scan(/`([^`]+)`/) }.flatten

    parts = quotes.flat_map { |quote| quote.split(/\s*(?:…|\bN\b)\s*/) }.map { |part| part.delete_suffix(":") }.reject { |part| part.size < 4 }
    expect(parts.size).to be > 30
    expect(parts.reject { |part| source.include?(part) }).to eq []
  end

  it "explain every exit status" do
    page = Project::ROOT.join("docs/troubleshooting.md").read

    expect(page.scan(/^## (\d): /).flatten).to eq %w[1 2 3 4 5]
  end
end
