# frozen_string_literal: true

require "digest"
require "rack"
require "hotswap/dashboard/template"
require "hotswap/dashboard/assets"
require "hotswap/dashboard/snapshot"
require "hotswap/dashboard/overview"
require "hotswap/dashboard/confirmation"
require "hotswap/dashboard/forgery"
require "hotswap/dashboard/rollback"

module Hotswap
  # A page that shows the databases, the processes, the history, and a swap as it goes: a Rack application.
  #
  #   mount Rack::Auth::Basic.new(Hotswap::Dashboard) { |user, password| … } => "/hotswap"
  #
  # It checks no permissions: mount it behind the authentication of your application. It only reads, unless
  # `config.hotswap.dashboard_actions` is true.
  class Dashboard
    # The browser takes scripts, styles and data only from the page's own server, and nothing inline. No other site can
    # show the page in a frame.
    POLICY = "default-src 'none'; img-src data:; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    # With "no-referrer", browsers would send "Origin: null" with the form.
    HEADERS = {
      "content-type" => "text/html; charset=utf-8", "content-security-policy" => POLICY, "cache-control" => "no-store",
      "x-content-type-options" => "nosniff", "x-frame-options" => "DENY", "referrer-policy" => "same-origin"
    }.freeze

    @snapshot = Snapshot.new

    class << self
      # The Rack application.
      # @return [Array] status, headers and body
      def call(env) = new(Rack::Request.new(env)).response

      # @api private
      # @param label [String] of a database
      # @return [String] stands for the database in addresses and forms
      def id(label) = Digest::SHA256.hexdigest(label).slice(0, 16).to_s

      # @api private
      # @return [Snapshot] what all viewers of this process see
      attr_reader :snapshot
    end

    def initialize(request)
      @request = request
    end

    def response
      status, headers, body = answer
      [status, HEADERS.merge(headers), @request.head? ? [] : [body]]
    end

    private

    def answer
      case @request.path_info
      when "", "/" then reading { page(Overview.new(self.class.snapshot.take, home, actions?)) }
      when "/rollback" then actions? ? rollback : plain(404, "To roll back from this page, set config.hotswap.dashboard_actions = true.")
      when Assets::PATH then reading { Assets.answer(@request.path_info) }
      else plain(404, "There is no such page.")
      end
    end

    def reading
      return yield if @request.get? || @request.head?

      plain(405, "This page only answers GET.", "allow" => "GET, HEAD")
    end

    def rollback
      forgery = Forgery.new(@request)
      database = forgery.database
      return plain(404, "hotswap manages no such database.") unless database
      return page(Confirmation.new(database, forgery.token, home), 200, forgery.cookie) if @request.get? || @request.head?
      return plain(405, "A rollback takes a POST.", "allow" => "GET, HEAD, POST") unless @request.post?

      objection = forgery.objection
      return plain(403, objection) if objection

      error = Rollback.start(database, @request.get_header("REMOTE_USER"))
      self.class.snapshot.forget
      return page(Confirmation.new(database, forgery.token, home, error), 409) if error

      # 303: a reload of the next page sends no second POST.
      [303, {"location" => home}, ""]
    end

    def page(view, status = 200, headers = {}) = [status, headers, view.to_s]

    def plain(status, text, headers = {})
      [status, headers.merge("content-type" => "text/plain; charset=utf-8"), "#{text}\n"]
    end

    def actions? = Hotswap.configuration.dashboard_actions

    # Where the application has mounted the dashboard. One slash: with two, it would name another host.
    def home = "/#{@request.script_name.delete("^!-~").sub(%r{\A[/\\]+}, "")}"
  end
end
