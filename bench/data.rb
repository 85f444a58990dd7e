# frozen_string_literal: true

require "digest"
require "fileutils"
require "open3"
require_relative "data/users"
require_relative "data/workshop"

module Bench
  # The databases that are pushed and pulled: the demo's own, grown to a size. They are kept between runs.
  class Data
    SOURCES = "{db,app/models,config}/**/*"

    Size = Struct.new(:label, :bytes) do
      def to_s = label
    end

    SIZES = {
      "1 MB" => 1024**2, "100 MB" => 100 * 1024**2, "1 GB" => 1024**3, "4 GB" => 4 * 1024**3
    }.to_h { |label, bytes| [label, Size.new(label, bytes)] }.freeze

    # The one that is live, and one to push: the same but for what GET /version answers.
    VERSIONS = %w[v1 v2].freeze

    # What fills a database. The first one is what every figure is about, unless its column says otherwise.
    CONTENTS = {"random order" => Users.new, "key order" => Users.new(in_key_order: true), "workshop" => Workshop.new}.freeze
    RANDOM_ORDER = CONTENTS.keys.first

    # The path of a database, which is made if it does not exist yet.
    #
    # @param content [String] a key of CONTENTS
    def path(size, version = "v1", content = RANDOM_ORDER)
      file = File.join(folder, "#{[size.label, content, version].join("-").delete(" ")}.sqlite3")
      grow(file, size, version, content) unless File.exist?(file)
      file
    end

    # The other databases of the application, as seeded.
    def others = Dir[File.join(seeded, "production-*.sqlite3")]

    # Changes what a database calls itself.
    def self.name(file, version) = sql(file, "DELETE FROM releases; INSERT INTO releases (version) VALUES ('#{version}');")

    def self.sql(file, statements)
      said, status = Open3.capture2e("sqlite3", "-bail", file, stdin_data: statements)
      raise "sqlite3 #{file}: #{said}" unless status.success?

      said.strip
    end

    private

    # Databases of an older demo, or of older generators, are removed.
    def folder
      @folder ||= File.join(WORK, "data", fingerprint).tap do |path|
        FileUtils.rm_rf(Dir[File.join(WORK, "data/*")] - [path])
        FileUtils.mkdir_p(path)
      end
    end

    def fingerprint
      demo = Dir[File.join(::Site::SOURCE, SOURCES)].select { |file| File.file?(file) }.sort
      generators = [__FILE__, *Dir[File.join(__dir__, "data/*.rb")].sort]
      Digest::SHA256.hexdigest([Machine.version_of("rails"), *[*demo, *generators].map { |file| File.read(file) }].join("\0"))[0, 12]
    end

    def seeded
      @seeded ||= File.join(folder, "seeded").tap { |path| seed(path) unless File.exist?(path) }
    end

    def seed(target)
      Dir.mktmpdir("seed-", WORK) do |place|
        Site.new(place).prepare
        File.rename(File.join(place, "storage"), target)
      end
    end

    def grow(file, size, version, content)
      return from(path(size, VERSIONS.first, content), file, version) unless version == VERSIONS.first

      draft = "#{file}.new"
      FileUtils.cp(File.join(seeded, "production.sqlite3"), draft)
      Data.sql(draft, "PRAGMA journal_mode=DELETE; #{FEWER_COMMENTS}")
      CONTENTS.fetch(content).grow(draft, size.bytes)
      Data.sql(draft, "PRAGMA journal_mode=WAL;")
      File.rename(draft, file)
    end

    # So that the demo's own rows fit into the smallest size.
    FEWER_COMMENTS = "DELETE FROM comments WHERE id % 10 > 1; VACUUM;"

    def from(base, file, version)
      FileUtils.cp(base, "#{file}.new")
      Data.name("#{file}.new", version)
      File.rename("#{file}.new", file)
    end
  end
end
