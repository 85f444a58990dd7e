# frozen_string_literal: true

require "hotswap"
require_relative "../support/hotswap_command"
require_relative "../support/messages"
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

    it "#{name} quotes only messages that exist" do
      expect(Messages.unfounded(page.read)).to eq []
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

  it "are searched for quoted messages" do
    expect(Messages.quotes(Project::ROOT.join("docs/troubleshooting.md").read).size).to be > 40
    expect(Messages.unfounded("| message |\n|---|\n| `the disk of … did something else` |\n")).to eq ["did something else"]
  end

  it "README.md quotes figures that bin/bench printed" do
    printed = Project::ROOT.join("bench/results/latest.md").readlines.filter_map { |line| line[/\A\|(.*)\|\Z/, 1]&.split("|")&.map(&:strip) }
    quoted = Project::ROOT.join("README.md").read[/^## Measured\n.*?(?=^## )/m].scan(/^\| (\w.*?) \| (.*?) \| (.*?) ?\|$/)

    expect(quoted.size).to be > 5
    unfounded = quoted.reject { |name, value, against| printed.any? { |row| row.first(2) == [name, value] && row[2].start_with?(against) } }
    expect(unfounded).to eq []
  end

  it "explain every exit status" do
    page = Project::ROOT.join("docs/troubleshooting.md").read

    expect(page.scan(/^## (\d): /).flatten).to eq %w[1 2 3 4 5 6 7]
  end
end
