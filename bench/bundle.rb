# frozen_string_literal: true

require "digest"
require "fileutils"
require "open3"

module Bench
  # The bundles that the application runs with: the lane's own, the same without hotswap, and the same with the
  # namesake (the Ruby gem of this name) in its place. HOTSWAP_NAMESAKE is the path of a checkout of that gem.
  module Bundle
    class Missing < StandardError; end

    class << self
      def gemfile(kind)
        case kind
        when :hotswap then ENV.fetch("BUNDLE_GEMFILE")
        when :without then derived("without", "")
        when :namesake then derived("namesake", "gem \"hotswap\", path: #{namesake.inspect}\n")
        end
      end

      def namesake = ENV["HOTSWAP_NAMESAKE"] && File.expand_path(ENV["HOTSWAP_NAMESAKE"])

      private

      def derived(name, line)
        lane = File.read(ENV.fetch("BUNDLE_GEMFILE"))
        text = lane.sub(/^gemspec\b.*\n/, line)
        raise Missing, "#{ENV["BUNDLE_GEMFILE"]} names hotswap in another way than by gemspec" if text == lane

        folder = File.join(WORK, "bundles", "#{name}-#{Digest::SHA256.hexdigest(text)[0, 12]}")
        File.join(folder, "Gemfile").tap { |path| write(path, text) unless File.exist?("#{path}.lock") }
      end

      # Uses installed gems only: the lane has every gem of it.
      def write(path, text)
        FileUtils.mkdir_p(File.dirname(path))
        File.write(path, text)
        said, status = Open3.capture2e({"BUNDLE_GEMFILE" => path},
          "bundle", "install", "--local", chdir: File.dirname(path))
        raise Missing, "no bundle can be made of #{path}:\n#{said}" unless status.success?
      end
    end
  end
end
