# frozen_string_literal: true

require "rack"
require_relative "unit_helper"

# What needs no server. spec/integration/dashboard has the rest.
RSpec.describe Hotswap::Dashboard do
  include_context "with hotswap in this process"

  before do
    Hotswap.register("app.sqlite3")
    Hotswap.configuration.dashboard_actions = true
  end

  let(:mounted) { {"SCRIPT_NAME" => "/hotswap"} }
  let(:id) { described_class.id(Hotswap.databases.first.label) }

  def request(method, path, **headers)
    Rack::MockRequest.new(Rack::Lint.new(described_class)).request(method, path, mounted.merge(headers.transform_keys { |name| %i[params input].include?(name) ? name : name.to_s }))
  end

  # What a browser sends that has the form open.
  def form(scheme: "http", **headers)
    page = request("GET", "#{scheme}://app.example/rollback?database=#{id}")
    cookie = page["set-cookie"][/\A[^;]+/]
    token = page.body[/name="token" value="(\h+)"/, 1]
    {HTTP_COOKIE: cookie, HTTP_HOST: "app.example", HTTP_ORIGIN: "#{scheme}://app.example", **headers, params: {"database" => id, "token" => token}}
  end

  # A rollback of a database that is not there fails at once, so a 409 means that the dashboard has tried.
  def rollback(parameters, scheme: "http") = request("POST", "#{scheme}://app.example/rollback", **parameters)

  it "is loaded only by an application that names it" do
    loaded = ->(code) { IO.popen([RbConfig.ruby, "-I", Project::ROOT.join("lib").to_s, "-e", "require 'hotswap'; #{code}; print $LOADED_FEATURES.grep(/dashboard/).size"], &:read).to_i }

    expect(loaded.call("")).to eq 0
    expect(loaded.call("Hotswap::Dashboard")).to be > 5
  end

  describe "a template" do
    it "escapes what it inserts, and shows what is invisible" do
      expect(described_class::Template.html(%(<a href="x">'&\e\u202e\xff))).to eq "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\\x1b\\u{202e}\\xff"
    end

    it "names its own line in an error" do
      view = Class.new(described_class::Overview) { def facts = raise("no facts") }.new(nil, "/", false)

      expect { view.to_s }.to raise_error("no facts") { |error| expect(error.backtrace.grep(/overview\.erb:1:/)).not_to be_empty }
    end

    it "keeps the lines of a text" do
      expect(described_class::Template.html("- a\n+ b\r\n")).to eq "- a\n+ b\\r\n"
    end
  end

  describe "its answers" do
    it "have a policy without exceptions, and are not kept" do
      answer = request("GET", "/rollback?database=#{id}")

      expect(answer.status).to eq 200
      expect(answer["content-security-policy"]).to match(/\Adefault-src 'none'; (?!.*(unsafe|\*|http))/)
      expect(answer.headers).to include("cache-control" => "no-store", "x-content-type-options" => "nosniff", "x-frame-options" => "DENY")
    end

    it "contain no inline script, style or handler" do
      page = request("GET", "/rollback?database=#{id}").body

      expect(page).not_to match(/<script(?![^>]+src=)|<style|\son\w+=|\sstyle=|javascript:/i)
    end

    it "lead to the style sheet and the script, which a browser may keep" do
      page = described_class::Overview.new(described_class::Snapshot::Facts.new(status: {databases: []}, entries: {}, error: "none", at: Time.now), "/hotswap", false).to_s
      links = page.scan(/(?:href|src)="([^"]+dashboard\.(?:css|js))"/).flatten

      expect(links.size).to eq 2
      answers = links.map { |link| request("GET", link.delete_prefix("/hotswap")) }
      expect(answers.map { |answer| [answer.status, answer["content-type"][%r{\A[^;]+}], answer["cache-control"]] })
        .to eq %w[text/css text/javascript].map { |type| [200, type, "private, max-age=31536000, immutable"] }
    end

    it "are 404 for other paths, such as one that leaves the folder" do
      expect(["/x", "/../dashboard.rb", "/#{described_class::Assets::DIGEST}/../template.rb", "/rollback?database=x", "/rollback"].map { |path| request("GET", path).status }.uniq).to eq [404]
    end

    it "are 405 for other methods" do
      expect(request("POST", "/").status).to eq 405
      expect(request("DELETE", "/rollback?database=#{id}").status).to eq 405
    end

    it "have no body for HEAD" do
      expect(request("HEAD", "/rollback?database=#{id}")).to have_attributes(status: 200, body: "")
    end

    it "lead to no other host, however the dashboard is mounted" do
      page = Rack::MockRequest.new(described_class).get("/rollback?database=#{id}", "SCRIPT_NAME" => "//evil.example\r\nx: y").body

      expect(page.scan(/(?:href|action)="([^"]*)"/).flatten - ["data:,"]).to all match(%r{\A/[^/]})
    end
  end

  describe "a rollback" do
    it "runs with the token, the cookie and the page's origin" do
      stub_const("Hotswap::Dashboard::Rollback::PATIENCE", 30)
      expect(rollback(form)).to have_attributes(status: 409, body: include("app.sqlite3"))
      expect(rollback(form(scheme: "https"), scheme: "https").status).to eq 409
      expect(rollback(form(HTTP_ORIGIN: nil, HTTP_SEC_FETCH_SITE: "same-origin").compact).status).to eq 409
      expect(rollback(form(HTTP_ORIGIN: "https://app.test", HTTP_X_FORWARDED_HOST: "app.test")).status).to eq 409
    end

    it "has a cookie that neither scripts nor other sites get, and that belongs to this host with TLS" do
      expect(request("GET", "/rollback?database=#{id}")["set-cookie"]).to match(/\Ahotswap_dashboard=\h{64}; path=\/; httponly; samesite=strict\z/)
      expect(request("GET", "https://app.example/rollback?database=#{id}")["set-cookie"]).to match(/\A__Host-hotswap_dashboard=\h{64}; path=\/; httponly; samesite=strict; secure\z/)
    end

    it "keeps the cookie of a form that is open already" do
      first = form
      again = request("GET", "http://app.example/rollback?database=#{id}", HTTP_COOKIE: first.fetch(:HTTP_COOKIE))

      expect(again["set-cookie"]).to start_with(first.fetch(:HTTP_COOKIE))
      expect(again.body).to include(first.dig(:params, "token"))
    end

    {
      "without an origin" => ->(given) { given.except(:HTTP_ORIGIN) },
      "from another site" => ->(given) { given.merge(HTTP_SEC_FETCH_SITE: "cross-site") },
      "from a neighbour on the same domain" => ->(given) { given.merge(HTTP_SEC_FETCH_SITE: "same-site") },
      "that the user did not send from a page" => ->(given) { given.merge(HTTP_SEC_FETCH_SITE: "none") },
      "from another origin" => ->(given) { given.merge(HTTP_ORIGIN: "http://evil.example") },
      "from another port" => ->(given) { given.merge(HTTP_ORIGIN: "http://app.example:8080") },
      "from an origin that only ends like this one" => ->(given) { given.merge(HTTP_ORIGIN: "http://evil-app.example") },
      "from an opaque origin" => ->(given) { given.merge(HTTP_ORIGIN: "null") },
      "without the cookie" => ->(given) { given.except(:HTTP_COOKIE) },
      "with another cookie" => ->(given) { given.merge(HTTP_COOKIE: "hotswap_dashboard=#{"0" * 64}") },
      "with an empty cookie" => ->(given) { given.merge(HTTP_COOKIE: "hotswap_dashboard=") },
      "without the token" => ->(given) { given.merge(params: given[:params].except("token")) },
      "with another token" => ->(given) { given.merge(params: given[:params].merge("token" => "0" * 64)) },
      "with a token that is not a text" => ->(given) { given.merge(params: given[:params].merge("token" => {"a" => "b"})) },
      "of no database" => ->(given) { given.merge(params: given[:params].merge("database" => "x")) },
      "with a malformed form" => ->(given) { given.except(:params).merge(input: "token=%", CONTENT_TYPE: "application/x-www-form-urlencoded") },
      "with a long form" => ->(given) { given.merge(params: given[:params].merge("x" => "x" * 5000)) },
      "as JSON" => ->(given) { given.except(:params).merge(input: JSON.generate(given[:params]), CONTENT_TYPE: "application/json") }
    }.each do |name, change|
      it "is refused #{name}" do
        expect(rollback(change.call(form))).to have_attributes(status: 403, body: /\ARefused: /).or have_attributes(status: 404)
        expect(log.string).not_to include("rollback")
      end
    end

    it "is not there unless dashboard_actions is true" do
      given = form
      Hotswap.configuration.dashboard_actions = false

      expect(rollback(given)).to have_attributes(status: 404, body: /config\.hotswap\.dashboard_actions = true/)
      expect(request("GET", "/rollback?database=#{id}").status).to eq 404
    end
  end

  it "shows the first databases of very many, and how many there are" do
    databases = Array.new(60) { |number| {database: "#{number}.sqlite3", commands: (number == 59) ? [{command: "push", phase: "checking"}] : []} }
    facts = described_class::Snapshot::Facts.new(status: {databases: databases}, entries: {}, error: nil, at: Time.now)
    page = described_class::Overview.new(facts, "/hotswap", false).to_s

    expect(page.scan("<h2").size).to eq 50
    expect(page).to include("59.sqlite3", "10 more databases")
  end

  it "looks only at the records of the databases that it shows" do
    Hotswap.register("tenants/*.sqlite3")
    folder.join("tenants").mkpath
    60.times { |number| SQLite3::Database.new(folder.join("tenants/#{number + 10}.sqlite3").to_s) { |db| db.execute("CREATE TABLE t (x)") } }
    snapshot = described_class::Snapshot.new
    looks = 0
    TracePoint.new(:c_call) { |call| looks += 1 if call.self == File && %i[stat lstat realpath].include?(call.method_id) }
      .enable(target_thread: Thread.current) { expect(snapshot.take.error).to be_nil }
    expect(looks).to be_between(50, 59)

    Hotswap.pull(folder.join("tenants/10.sqlite3").to_s, to: folder.join("copy.sqlite3"))
    snapshot.forget
    expect(snapshot.take.entries).to match("tenants/10.sqlite3" => [include(event: "pull")])
  end

  describe "the chart" do
    def entry(held_ms, way = "rename") = described_class::Entry.new({event: "push", held_ms: held_ms, way: way, time: "2026-11-26T12:34:45.042Z"})

    it "has a bar for each swap, as high as its pause, and its figures in words" do
      svg = described_class::Chart.new([entry(0.0), entry(2.5), entry(10.0, "in_place")]).to_svg

      expect(svg.scan(/<rect class="(\w*)".* height="([\d.]+)"/)).to eq [%w[rename 2.0], %w[rename 30.0], %w[in_place 120.0]]
      expect(svg).to include("<title>2026-11-26 12:34:45: 2.5 ms</title>", 'aria-label="3 swaps. Requests were held for 2.5 ms (median), at most 10 ms', "</span> in place")
    end

    it "is not there without a swap" do
      expect(described_class::Chart.new([]).to_svg).to be_nil
    end
  end
end
