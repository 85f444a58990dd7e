# frozen_string_literal: true

require "hotswap"

RSpec.describe "the dashboard in a browser", lane: "default" do
  hostile = %q(<img src=x onerror="hostile=1">"'&<script>hostile=2</script>)

  before(:context) do
    objection = Browser.objection
    skip objection if objection

    @app = AppServer.start(initializer: <<~RUBY) { |server| FileUtils.touch(server.root.join("storage", hostile.delete("/"))) }
      Rails.application.config.hotswap.dashboard_actions = true
      Rails.application.config.after_initialize { Hotswap.register("storage/" + #{hostile.delete("/").inspect}) }
    RUBY
    @browser = Browser.new
    @browser.log_in("demo", "hotswap")
  end

  after(:context) do
    @browser&.quit
    @app&.tear_down
  end

  before do
    browser.resize(1100, 900)
    browser.prefer("prefers-color-scheme", "light")
  end

  # The console tells of errors, and of what the page's policy did not allow.
  after { expect(browser.console).to eq [] }

  attr_reader :app, :browser

  def page(path = "") = "http://127.0.0.1:#{app.port}/hotswap#{path}"

  def push(version, *options)
    result = app.hotswap("cp", app.databases.release(version), "primary", *options)
    expect(result).to have_attributes(exit_code: 0)
  end

  # An answer may be a second old.
  def visit_when_it_shows(text)
    eventually do
      browser.visit(page)
      expect(browser.text("main")).to include(text)
    end
  end

  def id = Hotswap::Dashboard.id("storage/production.sqlite3")

  # The parts of the first database, the primary one.
  def part(name) = "[data-part^=#{name}-]"

  def text(name) = browser.text(part(name))

  it "shows every database, and what is known of it" do
    push("v2", "--label", "release-2")
    visit_when_it_shows("release-2")

    expect(browser.title).to eq "hotswap"
    expect(browser.text("main")).to include("primary", "queue", "cache", "errors")
    expect(text("facts")).to include("WAL")
    expect(text("processes")).to include(app.pid.to_s)
    expect(text("history")).to include("Push", "release-2", "ms")
    expect(text("previous")).to include("production.sqlite3.previous")
  end

  it "takes everything from its own server" do
    browser.visit(page)
    loaded = browser.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")

    expect(loaded.map { |address| File.basename(address) }).to match_array %w[dashboard.css dashboard.js]
    expect(loaded).to all start_with(page("/"))
  end

  it "shows a hostile label and a hostile path as text" do
    push("v3", "--label", hostile)
    visit_when_it_shows(hostile)

    expect(browser.text("main")).to include("storage/#{hostile.delete("/")}")
    expect(browser.evaluate("typeof hostile")).to eq "undefined"
    expect(browser.evaluate("document.querySelectorAll('main script, main img').length")).to eq 0
  end

  it "draws a bar for the pause of each swap, with its figures" do
    push("v4")
    push("v5", "--in-place=always", "--label", "in-place-5")
    visit_when_it_shows("in-place-5")
    bars = browser.evaluate("[...document.querySelector('#{part("history")} svg').querySelectorAll('rect')].map((bar) => [bar.getBoundingClientRect().height, getComputedStyle(bar).fill, bar.textContent])")

    expect(bars.size).to be >= 2
    expect(bars.map(&:first)).to all be > 1
    expect(bars.map(&:last)).to all match(/\A\d{4}-.* m?s\z/)
    # In place has a colour of its own.
    expect(bars.last(2).map { |bar| bar[1] }.uniq.size).to eq(Project.linux? ? 2 : 1)
    expect(browser.evaluate("document.querySelector('#{part("history")} svg').getAttribute('aria-label')")).to match(/\A\d+ swaps\. Requests were held for/)
  end

  it "shows a swap while it waits, and its end, without a reload" do
    browser.visit(page)
    browser.evaluate("window.same = true")
    slow = Thread.new { app.get("/slow?t=6") }
    eventually { expect(app.log).to include("/slow?t=6") }
    command = app.start_hotswap("cp", app.databases.release("v6"), "primary", "--label", "slow-one")

    eventually(15) { expect(browser.text("main")).to match(/Push.*waiting/i) }
    expect(slow.value.status).to eq 200
    expect(command.wait(30)).to have_attributes(exit_code: 0)
    eventually(15) { expect(browser.has?(".swap")).to be false }
    eventually(15) { expect(text("history")).to include("slow-one") }
    expect(browser.evaluate("window.same")).to be true
  end

  it "works without JavaScript, by a refresh" do
    browser.without_javascript do
      browser.visit(page)
      push("v7", "--label", "no-script")
      eventually(15) { expect(browser.text("main")).to include("no-script") }
    end
  end

  it "rolls back at the press of a button, and a second time forth" do
    push("v8")
    push("v9", "--label", "release-9")
    visit_when_it_shows("release-9")
    2.times do |time|
      browser.visit(page)
      browser.click("#{part("previous")} a")
      expect(browser.text("main")).to match(/Roll back storage\/production\.sqlite3\?/)
      browser.click("button")
      eventually(15) { expect(browser.url).to eq page }
      expect(browser.text("main")).to include("As of")
      eventually(15) { expect(text("history")).to match(/\A.*Rollback.*demo/m) }
      eventually { expect(app.version).to eq %w[v8 v9][time] }
      eventually(15) { expect(browser.evaluate("[...document.querySelectorAll('#{part("history")} td')].filter((cell) => cell.textContent === 'Rollback').length")).to eq time + 1 }
    end
  end

  it "shows why a rollback failed, and changes nothing" do
    push("v10", "--label", "release-10")
    visit_when_it_shows("release-10")
    browser.click("#{part("previous")} a")
    FileUtils.rm_f(Dir[app.root.join("storage/production.sqlite3.previous*")])
    browser.click("button")

    eventually(15) { expect(browser.text(".error[role=alert]:not([hidden])")).to match(/previous/) }
    expect(app.version).to eq "v10"
    expect(browser.console).to match [/status of 409/]
  end

  it "refuses a rollback that another site makes the browser ask for" do
    push("v11", "--label", "release-11")
    visit_when_it_shows("release-11")
    browser.click("#{part("previous")} a")
    database, token = %w[database token].map { |name| browser.evaluate("document.querySelector('input[name=#{name}]').value") }

    # Another site: the browser knows the cookie, and the attacker even knows the token.
    browser.visit("http://localhost:#{app.port}/version")
    browser.evaluate(<<~JS)
      (() => {
        const form = document.createElement("form");
        form.method = "post";
        form.action = "#{page("/rollback")}";
        for (const [name, value] of Object.entries({database: "#{database}", token: "#{token}"})) {
          const field = document.createElement("input");
          field.name = name;
          field.value = value;
          form.append(field);
        }
        document.body.append(form);
        form.submit();
      })()
    JS

    eventually { expect(browser.text).to match(/\ARefused: /) }
    expect(app.version).to eq "v11"
    expect(browser.console.grep_v(/403|favicon/)).to eq []
  end

  # The ratio between the colours of each text and what is behind it, as WCAG 2.2 defines it: 4.5 is AA.
  contrasts = <<~JS
    (() => {
      const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
      const light = (color) => numbers(color).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (element) => {
        for (; element; element = element.parentElement) {
          const color = getComputedStyle(element).backgroundColor;
          if (numbers(color)[3] !== 0) return color;
        }
        return "rgb(255, 255, 255)";
      };
      const low = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("svg")) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${element.tagName} ${element.className}: ${walker.currentNode.data.trim()}`);
      }
      return low;
    })()
  JS

  %w[light dark].each do |scheme|
    it "has enough contrast in #{scheme} mode" do
      app.hotswap("cp", app.databases.other_schema, "primary")
      browser.prefer("prefers-color-scheme", scheme)
      ["", "/rollback?database=#{id}"].each do |path|
        browser.visit(page(path))
        expect(browser.evaluate(contrasts)).to eq []
        ground = browser.evaluate("getComputedStyle(document.body).backgroundColor").scan(/\d+/).map(&:to_i)
        expect(ground).to all((scheme == "light") ? (be > 200) : (be < 60))
      end
    end
  end

  it "fits a phone, where its tables are still tables for a screen reader" do
    push("v12", "--label", "f" * 200)
    browser.resize(320, 640, phone: true)
    ["", "/rollback?database=#{id}"].each do |path|
      browser.visit(page(path))
      expect(browser.evaluate("document.documentElement.scrollWidth")).to be <= 320
    end
    browser.visit(page)
    roles = browser.devtools("Accessibility.getFullAXTree").fetch("nodes").map { |node| node.dig("role", "value") }
    expect(roles).to include("table", "row", "cell", "columnheader", "heading", "main")
  end

  it "names everything that a screen reader reads out" do
    browser.visit(page)
    nodes = browser.devtools("Accessibility.getFullAXTree").fetch("nodes")
    unnamed = nodes.select { |node| %w[link button image region heading progressbar].include?(node.dig("role", "value")) && node.dig("name", "value").to_s.empty? }

    expect(unnamed).to eq []
    expect(browser.evaluate("document.documentElement.lang")).to eq "en"
    expect(browser.evaluate("document.querySelectorAll('h1').length")).to eq 1
  end
end
