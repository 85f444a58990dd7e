# frozen_string_literal: true

require "fileutils"
require "json"
require "net/http"
require "tmpdir"
require_relative "eventually"
require_relative "project"

# A real browser: Chromium, driven by its chromedriver (https://www.w3.org/TR/webdriver2/).
class Browser
  include Eventually

  class Trouble < StandardError; end

  ABSENT = "Chromium and its chromedriver are not installed (bin/setup --browser --install-packages does it on Debian)"
  ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
  ARGUMENTS = %w[--headless=new --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars --force-color-profile=srgb].freeze

  # Why there is none here.
  def self.objection
    ABSENT unless program && Project.program("chromedriver")
  end

  def self.program = Project.program("chromium") || Project.program("google-chrome")

  def initialize
    @folder = Dir.mktmpdir("hs")
    start_driver
    # Chromium's sandbox does not work for root.
    sandbox = Process.uid.zero? ? ["--no-sandbox"] : []
    options = {binary: Browser.program, args: [*ARGUMENTS, *sandbox, "--user-data-dir=#{@folder}/profile"]}
    capabilities = {browserName: "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {browser: "ALL"}}
    @session = "/session/#{call(:post, "/session", capabilities: {alwaysMatch: capabilities}).fetch("sessionId")}"
  rescue
    quit
    raise
  end

  def quit
    ask(:delete, "") if @session
  rescue SystemCallError, IOError, Trouble
    nil # It has ended by itself.
  ensure
    end_driver
    FileUtils.rm_rf(@folder)
  end

  # The name and the password go into each request, as if the user had typed them.
  def log_in(user, password)
    devtools("Network.enable")
    devtools("Network.setExtraHTTPHeaders", headers: {"Authorization" => "Basic #{["#{user}:#{password}"].pack("m0")}"})
  end

  def visit(url) = ask(:post, "/url", url: url)

  def url = ask(:get, "/url")

  def title = ask(:get, "/title")

  # The value of a JavaScript expression in the page.
  def evaluate(expression) = ask(:post, "/execute/sync", script: "return (#{expression})", args: [])

  # The visible text of the first element, as a user sees it. Empty if there is none: a page that reloads has none yet.
  def text(selector = "body")
    ask(:get, "/element/#{find(selector)}/text")
  rescue Trouble => error
    return "" if error.message.start_with?("no such element")
    raise unless error.message.include?("stale element")
    retry # The page has just replaced it.
  end

  def has?(selector) = !ask(:post, "/elements", using: "css selector", value: selector).empty?

  def click(selector) = ask(:post, "/element/#{find(selector)}/click", {})

  # A CSS media feature, such as "prefers-color-scheme".
  def prefer(name, value) = devtools("Emulation.setEmulatedMedia", features: [{name: name, value: value}])

  def resize(width, height, phone: false)
    devtools("Emulation.setDeviceMetricsOverride", width: width, height: height, deviceScaleFactor: 1, mobile: phone)
  end

  # From the next page on.
  def without_javascript
    devtools("Emulation.setScriptExecutionDisabled", value: true)
    yield
  ensure
    devtools("Emulation.setScriptExecutionDisabled", value: false)
  end

  # What the console has had to say since the last call: errors, warnings, and violations of the page's policy.
  def console
    ask(:post, "/se/log", type: "browser").map { |entry| entry.fetch("message") }
  end

  # What the window shows, as PNG.
  def screenshot = ask(:get, "/screenshot").unpack1("m")

  def devtools(command, **parameters) = ask(:post, "/goog/cdp/execute", cmd: command, params: parameters)

  private

  def start_driver
    reader, writer = IO.pipe
    environment = Project.plain_environment("HOME" => @folder, "TMPDIR" => @folder)
    @driver = Process.spawn(environment, Project.program("chromedriver"), "--port=0", in: File::NULL, out: writer, err: File::NULL, pgroup: true, unsetenv_others: true)
    writer.close
    @port = Integer(reader.each_line.lazy.filter_map { |line| line[/started successfully on port (\d+)/, 1] }.first || raise(Trouble, "chromedriver did not start"))
    # It writes no more than this; an unread pipe would only matter if it did.
    @output = reader
  end

  def end_driver
    @output&.close
    return unless @driver

    # With the browser, which is in the same group.
    Process.kill(:KILL, -@driver)
    Process.wait(@driver)
  rescue Errno::ESRCH, Errno::ECHILD
    nil
  end

  def find(selector) = ask(:post, "/element", using: "css selector", value: selector).fetch(ELEMENT)

  def ask(method, path, body = nil, **parameters) = call(method, "#{@session}#{path}", body || parameters)

  def call(method, path, parameters = {})
    request = Net::HTTP.const_get(method.to_s.capitalize).new(path, "content-type" => "application/json")
    request.body = JSON.generate(parameters) if method == :post
    answer = Net::HTTP.start("127.0.0.1", @port, read_timeout: 60, max_retries: 0) { |http| http.request(request) }
    value = JSON.parse(answer.body).fetch("value")
    raise Trouble, "#{value["error"]}: #{value["message"]}" unless answer.is_a?(Net::HTTPSuccess)
    value
  end
end
