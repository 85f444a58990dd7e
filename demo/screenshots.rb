# frozen_string_literal: true

require "sqlite3"
require "tmpdir"
require_relative "site"
require_relative "../spec/support/browser"

# Takes the pictures in docs/dashboard.md: the demo application after some pushes, in a real browser.
#
#   bin/lane default bundle exec ruby demo/screenshots.rb
class Screenshots
  DOCS = File.expand_path("../docs", __dir__)

  def run
    Dir.mktmpdir("hs") do |folder|
      @site = Site.new(File.join(folder, "shop"), "WEB_CONCURRENCY" => "2")
      File.write(File.join(@site.folder, "config/initializers/hotswap.rb").tap { |file| FileUtils.mkdir_p(File.dirname(file)) },
        "Rails.application.config.hotswap.dashboard_actions = true\n")
      @site.prepare
      @site.boot
      visit_every_process
      some_history
      in_a_browser { |browser| take(browser) }
    ensure
      @site&.stop
    end
  end

  private

  def visit_every_process
    pids = Array.new(50) { Thread.new { @site.get("/version")[/"pid":(\d+)/, 1] } }.map(&:value)
    visit_every_process if pids.uniq.size < 2
  end

  def some_history
    hotswap("cp primary new.sqlite3")
    9.times { |number| push("release-#{41 + number}") }
    push("release-50", "--in-place=always")
    4.times { |number| push("release-#{51 + number}") }
    hotswap("cp primary backup.sqlite3")
  end

  def push(label, *options)
    SQLite3::Database.new(File.join(@site.folder, "new.sqlite3")) { |db| db.execute("INSERT INTO releases (version) VALUES (?)", [label]) }
    hotswap("cp new.sqlite3 primary --label #{label} #{options.join(" ")}")
  end

  def hotswap(arguments)
    said = +""
    status = @site.shell("bin/hotswap #{arguments}") { |line| said << line }
    raise "bin/hotswap #{arguments}: #{said}" unless status.success?
  end

  def in_a_browser
    browser = Browser.new
    browser.log_in("demo", "hotswap")
    yield browser
  ensure
    browser&.quit
  end

  def take(browser)
    picture(browser, "dashboard", 900, 900, "light")
    during_a_push { picture(browser, "dashboard-phone", 360, 720, "dark") { browser.has?(".swap") } }
  end

  # The push waits for a request.
  def during_a_push
    slow = Thread.new { @site.get("/slow_query?t=8") }
    sleep 0.5
    pushing = Thread.new { push("release-55") }
    yield
  ensure
    [slow, pushing].each { |thread| thread&.join }
  end

  def picture(browser, name, width, height, scheme)
    browser.resize(width, height, phone: width < 500)
    browser.prefer("prefers-color-scheme", scheme)
    browser.eventually(20) do
      browser.visit(@site.url("/hotswap"))
      !block_given? || yield
    end
    File.binwrite(File.join(DOCS, "#{name}.png"), browser.screenshot)
  end
end

Screenshots.new.run if $PROGRAM_NAME == __FILE__
