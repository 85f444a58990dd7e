# frozen_string_literal: true

require "digest"

module Hotswap
  class Dashboard
    # The style sheet and the script, at paths of their own: the page's policy allows nothing inline.
    module Assets
      TYPES = {"dashboard.css" => "text/css", "dashboard.js" => "text/javascript"}.freeze
      FILES = TYPES.to_h { |name, _| [name, File.read(File.join(__dir__.to_s, name), encoding: Encoding::UTF_8).freeze] }.freeze
      # With another version of the gem the paths change, so a browser may keep what it has.
      DIGEST = Digest::SHA256.hexdigest(FILES.values.join)[0, 12]
      PATH = %r{\A/#{DIGEST}/(dashboard\.(?:css|js))\z}

      # @return [String] relative to the dashboard
      def self.path(name) = "#{DIGEST}/#{name}"

      # @param path [String] one that {PATH} matches
      def self.answer(path)
        name = File.basename(path)
        headers = {"content-type" => "#{TYPES.fetch(name)}; charset=utf-8", "cache-control" => "private, max-age=31536000, immutable"}
        [200, headers, FILES.fetch(name)]
      end
    end
  end
end
