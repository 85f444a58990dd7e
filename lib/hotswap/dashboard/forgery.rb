# frozen_string_literal: true

require "openssl"
require "securerandom"

module Hotswap
  class Dashboard
    # Tells a form of the dashboard from one that another site made the browser send.
    #
    # The token is hotswap's own, because an application without Rails may have no session. It is the HMAC of the
    # database's path, with a random cookie as the key. The browser sends that cookie only with requests from this site
    # (SameSite=Strict), and no script can read it. A neighbour on the same domain could set a cookie of its own, so the
    # request must also come from this very origin, which browsers say in Sec-Fetch-Site, or else in Origin.
    class Forgery
      COOKIE = "hotswap_dashboard"
      # A browser takes a cookie with this prefix only from this very host, and only with TLS.
      PREFIX = "__Host-"
      LONGEST_FORM = 4096

      # @param request [Rack::Request] one for /rollback
      def initialize(request)
        @request = request
      end

      # @return [Database, nil] the one that the request is about
      def database
        id = @request.post? ? form["database"] : @request.GET["database"]
        Hotswap.databases.existing.find { |database| Dashboard.id(database.label) == id }
      end

      # @return [String] for the form
      def token = token_for(key)

      # @return [Hash] the headers that set the cookie
      def cookie
        {"set-cookie" => "#{name}=#{key}; path=/; httponly; samesite=strict#{"; secure" if @request.ssl?}"}
      end

      # @return [String, nil] why the request may be forged
      def objection
        return "Refused: the request did not come from this page. Open the dashboard and try again." unless from_here?
        return if own_token?

        "Refused: the form's token is missing or out of date. Open the dashboard and try again."
      end

      private

      def from_here?
        site = @request.get_header("HTTP_SEC_FETCH_SITE")
        return site == "same-origin" if site

        # Browsers leave Sec-Fetch-Site out without TLS, and old ones always. The scheme is the proxy's business.
        origin = @request.get_header("HTTP_ORIGIN").to_s[%r{\Ahttps?://([^/]+)\z}, 1]
        !origin.nil? && [@request.get_header("HTTP_HOST"), @request.get_header("HTTP_X_FORWARDED_HOST")&.split(",")&.last&.strip].include?(origin)
      end

      def own_token?
        given = @request.cookies[name]
        token = form["token"]
        given.to_s.match?(/\A\h{64}\z/) && token.is_a?(String) && Rack::Utils.secure_compare(token, token_for(given))
      end

      # A browser that has a key keeps it: the form may be open twice.
      def key
        @key ||= @request.cookies[name].to_s[/\A\h{64}\z/] || SecureRandom.hex(32)
      end

      def token_for(key) = OpenSSL::HMAC.hexdigest("SHA256", key, database&.path.to_s)

      def form
        @form ||= (@request.form_data? && @request.content_length.to_i <= LONGEST_FORM) ? @request.POST : {}
      rescue EOFError, ArgumentError, TypeError, KeyError, RangeError
        @form = {} # It is malformed.
      end

      def name = @request.ssl? ? "#{PREFIX}#{COOKIE}" : COOKIE
    end
  end
end
