# frozen_string_literal: true

require_relative "words"

module Bench
  class Data
    # The tables of the RailsConf workshop's application, which the demo has: people who write posts and comment on each
    # other's, and delete some of them again.
    class Workshop
      SEASONS = 8
      # What a post takes with its comments, in bytes, before anything is deleted.
      POST = 6_100
      COMMENTS = 10

      DECAY = <<~SQL
        CREATE TEMP TABLE gone AS SELECT id FROM posts WHERE abs(random()) % 10 = 0;
        DELETE FROM comments WHERE post_id IN (SELECT id FROM gone) OR abs(random()) % 20 = 0;
        DELETE FROM posts WHERE id IN (SELECT id FROM gone);
      SQL

      # Fills a database of the demo until it has about that many bytes.
      def grow(file, bytes)
        @file = file
        missing = -> { [(bytes - File.size(file)) / POST, 0].max }
        each = missing.call / SEASONS
        (SEASONS - 1).times { add(each, decay: true) }
        add(missing.call, decay: false)
        run("#{DECAY} ANALYZE;")
      end

      private

      def run(statements)
        Data.sql(@file, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA cache_size=-3000000; #{statements}")
      end

      def add(posts, decay:) = run("#{Words::TABLE} BEGIN; #{rows(posts)} #{DECAY if decay} COMMIT;")

      AT = "strftime('%Y-%m-%d %H:%M:%f', 1715072400 + abs(random()) % 30000000 + 0 * i, 'unixepoch')"

      def rows(posts)
        <<~SQL
          INSERT INTO users (screen_name, about, created_at, updated_at) #{count([posts / 10, 1].max)}
            SELECT lower(hex(randomblob(8))), #{Words.paragraphs(1..2)}, #{AT}, #{AT} FROM n;
          INSERT INTO posts (user_id, title, body, created_at, updated_at) #{count(posts)}
            SELECT #{one_of("users")}, 'Post ' || hex(randomblob(10)), #{Words.paragraphs(1..6)}, #{AT}, #{AT} FROM n;
          INSERT INTO comments (post_id, user_id, body, created_at, updated_at) #{count(posts * COMMENTS)}
            SELECT #{one_of("posts")}, #{one_of("users")}, substr(#{Words.paragraphs(1..1)}, 1, 100 + abs(random()) % 400), #{AT}, #{AT} FROM n;
        SQL
      end

      def count(rows) = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < #{rows})"

      def one_of(table) = "(SELECT id FROM #{table} WHERE id >= 1 + abs(random()) % (SELECT max(id) FROM #{table}) + 0 * i LIMIT 1)"
    end
  end
end
