# frozen_string_literal: true

# What a push prints while it waits, and when it gives up.
RSpec.describe "a push that waits", lane: "default" do
  let(:max_pause) { 0.2 }
  let(:app) do
    boot_rack(<<~RUBY, threads: 8) { |server| TestDatabase.new(server.root).release("v1", name: "app.sqlite3") }
      require "hotswap"
      Hotswap.configure { |config| config.max_pause = #{max_pause} }
      Hotswap.register("app.sqlite3")
      Hotswap.start
      use Hotswap::Middleware
      run lambda { |env|
        sleep env["QUERY_STRING"].to_f
        database = SQLite3::Database.new("app.sqlite3")
        version = database.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1")
        database.close
        [200, {"content-type" => "text/plain"}, [version]]
      }
    RUBY
  end

  def file(version) = TestDatabase.new(app.root.join("files").tap(&:mkpath)).release(version)

  def start_push(version, *options) = app.start_hotswap("cp", file(version), "database", *options)

  def request(path) = Thread.new { app.get(path) }

  # Requests that come without a pause, as many at a time as are given, while the block runs.
  def under_load(path, visitors)
    over = false
    # Each takes another time, so that they do not end together.
    threads = Array.new(visitors) { |number| Thread.new { app.get("#{path}?#{0.6 + number * 0.11}") until over } }
    yield
  ensure
    over = true
    threads&.each(&:join)
  end

  it "says after a second what it waits for and when it gives up, and finally what it did" do
    app.get("/")
    slow = request("/slow?4")
    pushed = start_push("new").wait

    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n")
    waiting = pushed.stderr.lines.grep(/^Waiting/)
    expect(waiting.first).to match(%r{^Waiting for process #{app.pid}#{" \\(puma .*\\)" if Project.linux?}: GET /slow for \d\.\d s\. Requests continue\. Giving up in 2\d s\.$})
    expect(waiting.size).to be_between(1, 2)
    expect(pushed.stderr.lines.last).to match(/^app\.sqlite3, \d+ bytes, #{HotswapCommand::HOW}, requests held for \d+\.\d ms; no table has more or fewer rows\.$/o)
    slow.join
  end

  it "says none of this with --quiet" do
    app.get("/")
    slow = request("/slow?3")
    expect(start_push("new", "--quiet").wait).to have_attributes(exit_code: 0, stdout: "", stderr: "")
    slow.join
  end

  it "uses --timeout, and then names only that option" do
    app.get("/")
    slow = request("/slow?6")
    refused = start_push("never", "--timeout", "1.5").wait

    expect(slow).to be_alive
    expect(refused).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.stderr).to match(/^ERROR: gave up after 1\.5 s: .*\n- process #{app.pid}.*: GET \/slow for \d\.\d s\n.*--timeout SECONDS \(it was 1\.5 s\)/)
    expect(refused.stderr).not_to include("max-pause")
    slow.join
  end

  # Fails unless the worker gives a member time to report (fleet/gather.rs, `hear`): the message would say that it "does
  # not answer".
  it "suggests --max-pause if every request is longer, and succeeds with it" do
    under_load("/busy", 6) do
      refused = start_push("never", "--timeout", "4").wait

      expect(refused).to have_attributes(exit_code: 4, stdout: "")
      expect(refused.stderr).to match(/^- process #{app.pid}.*: (GET \/busy for (0\.[2-9]|1\.\d) s|its work took longer than requests may wait)/)
      expect(refused.stderr).to include("--max-pause SECONDS (it was 0.2 s), or with config.hotswap.max_pause")
      expect(refused.stderr).not_to match(/--timeout|does not answer|for 0\.[01] s/)
      expect(app.log.scan("still busy after max_pause").size).to be_between(1, 3)

      expect(start_push("new", "--max-pause", "5").wait).to have_attributes(exit_code: 0, stdout: "OK\n")
    end
    expect(app.get("/").body).to eq "new"
  end

  it "refuses a time that is not a number" do
    app.get("/")
    ["0", "-1", "soon"].each do |wrong|
      %w[--timeout --max-pause].each do |option|
        refused = app.hotswap("cp", file("never"), "database", "#{option}=#{wrong}")
        expect(refused).to have_attributes(exit_code: 2, stderr: /#{option}.*it must be a number of seconds above zero/)
      end
    end
  end
end
