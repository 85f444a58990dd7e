# frozen_string_literal: true

require_relative "../../support/json_contract"

RSpec.describe "docs/json.md", lane: "default" do
  running_app(workers: 1)

  let(:live) { "storage/production.sqlite3" }

  before { app.version }

  def json(*arguments) = app.hotswap(*arguments, "--json").stdout.lines.map { |line| JSON.parse(line) }

  def expect_kept(values, shape) = expect(values.flat_map { |value| JsonContract.breaches(value, shape) }).to eq []

  it "is what every command prints: what it did, and why it failed" do
    results = json("cp", app.databases.release("v2"), live, "--label=v2") + json("cp", "primary", "pulled.sqlite3") + json("rollback", "primary") +
      json("cp", app.databases.release("v3"), live, "--in-place=always") + json("cp", app.databases.garbage, live) + json("cp", "nothing", live) + json("status", "nothing")
    expect(results.map { |result| result["exit_status"] }).to eq [0, 0, 0, 0, 3, 3, 2]
    expect_kept(results, "result")
  end

  it "is what status and log print, and what Hotswap.status and Hotswap.log return" do
    json("cp", app.databases.release("v4"), live)
    expect_kept(json("status"), "status")
    expect_kept(json("log"), "entry")

    returned = JSON.parse(app.runner("puts({status: Hotswap.status, one: Hotswap.status(:queue), log: Hotswap.log(newest: 1)}.to_json)").lines.last)
    expect_kept(returned.values_at("status", "one"), "status")
    expect_kept(returned["log"], "entry")
    expect(returned["one"]["databases"].map { |database| database["name"] }).to eq %w[queue]
    expect(returned["log"].size).to eq 1
  end

  it "names every property" do
    page = Project::ROOT.join("docs/json.md").read
    unnamed = JsonContract.properties.values.flatten.uniq.reject { |name| page.include?("`#{name}`") }
    expect(unnamed).to eq []
  end

  it "would notice a property that is missing, new or of another type" do
    app.hotswap("cp", "primary", "pulled.sqlite3")
    entry = JSON.parse(File.readlines("#{app.database_path}.hotswap.log").last)
    expect(JsonContract.breaches(entry.except("time"), "entry")).to eq ["entry has no time"]
    expect(JsonContract.breaches(entry.merge("new" => 1), "entry")).to match [/has new, which/]
    expect(JsonContract.breaches(entry.merge("sequence" => "1"), "entry")).to match [/sequence is no integer/]
  end
end
