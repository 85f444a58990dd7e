# frozen_string_literal: true

require "digest"
require "fileutils"
require "open3"

module Bench
  # The databases that are pushed and pulled: the demo's own, grown to a size. Kept between runs.
  class Data
    SOURCES = "{db,app/models,config}/**/*"
    # Half the length of a post, in bytes. Three posts fill a page, as those of a screen's length do; with its share
    # of the indexes each takes so many bytes.
    BODY = 620
    TAKEN = 1410

    Size = Struct.new(:label, :bytes) do
      def to_s = label
    end

    SIZES = {
      "1 MB" => 1024**2, "100 MB" => 100 * 1024**2, "1 GB" => 1024**3, "4 GB" => 4 * 1024**3
    }.to_h { |label, bytes| [label, Size.new(label, bytes)] }.freeze

    # The one that is live, and one to push: the same but for what GET /version answers.
    VERSIONS = %w[v1 v2].freeze

    def path(size, version = "v1")
      file = File.join(folder, "#{size.label.delete(" ")}-#{version}.sqlite3")
      grow(file, size, version) unless File.exist?(file)
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

    # What a run that changes the demo's tables leaves is forgotten.
    def folder
      @folder ||= File.join(WORK, "data", fingerprint).tap do |path|
        FileUtils.rm_rf(Dir[File.join(WORK, "data/*")] - [path])
        FileUtils.mkdir_p(path)
      end
    end

    def fingerprint
      files = Dir[File.join(::Site::SOURCE, SOURCES)].select { |file| File.file?(file) }.sort
      Digest::SHA256.hexdigest([File.read(__FILE__), Machine.version_of("rails"), *files.map { |file| File.read(file) }].join("\0"))[0, 12]
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

    def grow(file, size, version)
      return from(path(size), file, version) unless version == VERSIONS.first

      FileUtils.cp(File.join(seeded, "production.sqlite3"), "#{file}.new")
      missing = size.bytes - File.size("#{file}.new")
      Data.sql("#{file}.new", <<~SQL)
        PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000;
        #{missing.positive? ? more_posts(missing / TAKEN) : FEWER_COMMENTS}
        PRAGMA journal_mode=WAL;
      SQL
      File.rename("#{file}.new", file)
    end

    FEWER_COMMENTS = "DELETE FROM comments WHERE id % 10 > 1; VACUUM;"

    def more_posts(count)
      <<~SQL
        INSERT INTO posts (user_id, title, body, created_at, updated_at)
          WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < #{count})
          SELECT 1 + i % 100, 'Post ' || i, hex(randomblob(#{BODY})), '2024-05-07 09:00:00', '2024-05-07 09:00:00' FROM n;
      SQL
    end

    def from(base, file, version)
      FileUtils.cp(base, "#{file}.new")
      Data.name("#{file}.new", version)
      File.rename("#{file}.new", file)
    end
  end
end
