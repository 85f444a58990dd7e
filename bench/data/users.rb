# frozen_string_literal: true

require_relative "words"

module Bench
  class Data
    # A database as users have it, beside the demo's tables: UUIDs as primary keys, tables with several indexes whose
    # order is not that of the rows, texts and blobs with overflow pages, a full-text index, free pages. Its rows lie
    # as years leave them: the generator adds, changes and deletes rows in eight seasons.
    #
    # In key order, the rows lie in the order of every index, and no row is ever changed or deleted.
    class Users
      SEASONS = 8
      # What an account takes in all tables, in bytes, before anything is deleted.
      ACCOUNT = 8_700
      # How many rows of each there are for one account.
      ORDERS = 2
      LINE_ITEMS = 6
      EVENTS = 10
      DOCUMENTS = 0.3
      ATTACHMENTS = 0.02

      SCHEMA = <<~SQL
        CREATE TABLE accounts (id varchar PRIMARY KEY NOT NULL, email varchar NOT NULL, name varchar NOT NULL, about text, created_at datetime NOT NULL);
        CREATE UNIQUE INDEX index_accounts_on_email ON accounts (email);
        CREATE INDEX index_accounts_on_name ON accounts (name);
        CREATE TABLE orders (id varchar PRIMARY KEY NOT NULL, account_id varchar NOT NULL REFERENCES accounts (id), number varchar NOT NULL,
          state varchar NOT NULL, total_cents integer NOT NULL, created_at datetime NOT NULL);
        CREATE UNIQUE INDEX index_orders_on_number ON orders (number);
        CREATE INDEX index_orders_on_account_id ON orders (account_id);
        CREATE INDEX index_orders_on_state_and_created_at ON orders (state, created_at);
        CREATE TABLE line_items (id integer PRIMARY KEY AUTOINCREMENT NOT NULL, order_id varchar NOT NULL REFERENCES orders (id),
          sku varchar NOT NULL, quantity integer NOT NULL, price_cents integer NOT NULL);
        CREATE INDEX index_line_items_on_order_id ON line_items (order_id);
        CREATE INDEX index_line_items_on_sku ON line_items (sku);
        CREATE TABLE events (id integer PRIMARY KEY AUTOINCREMENT NOT NULL, account_id varchar NOT NULL REFERENCES accounts (id),
          kind varchar NOT NULL, payload json, created_at datetime NOT NULL);
        CREATE INDEX index_events_on_account_id ON events (account_id);
        CREATE INDEX index_events_on_created_at ON events (created_at);
        CREATE TABLE documents (id integer PRIMARY KEY AUTOINCREMENT NOT NULL, account_id varchar NOT NULL REFERENCES accounts (id),
          title varchar NOT NULL, body text NOT NULL, checksum varchar NOT NULL);
        CREATE UNIQUE INDEX index_documents_on_checksum ON documents (checksum);
        CREATE INDEX index_documents_on_account_id ON documents (account_id);
        CREATE VIRTUAL TABLE documents_fts USING fts5 (title, body, content = 'documents', content_rowid = 'id');
        CREATE TABLE attachments (id integer PRIMARY KEY AUTOINCREMENT NOT NULL, key varchar NOT NULL, data blob NOT NULL);
        CREATE UNIQUE INDEX index_attachments_on_key ON attachments (key);
      SQL

      # A season deletes about a tenth of the rows, and changes others.
      DECAY = <<~SQL
        DELETE FROM line_items WHERE abs(random()) % 10 = 0;
        DELETE FROM orders WHERE abs(random()) % 20 = 0;
        DELETE FROM events WHERE abs(random()) % 8 = 0;
        DELETE FROM attachments WHERE abs(random()) % 8 = 0;
        UPDATE orders SET state = 'paid', total_cents = total_cents + 1 WHERE abs(random()) % 5 = 0;
        UPDATE accounts SET name = lower(hex(randomblob(8))) WHERE abs(random()) % 10 = 0;
        CREATE TEMP TABLE gone AS SELECT id FROM documents WHERE abs(random()) % 10 = 0;
        INSERT INTO documents_fts (documents_fts, rowid, title, body) SELECT 'delete', id, title, body FROM documents WHERE id IN (SELECT id FROM gone);
        DELETE FROM documents WHERE id IN (SELECT id FROM gone);
      SQL

      # The last deletes leave free pages behind.
      CLEARING = "DELETE FROM attachments WHERE abs(random()) % 4 = 0; DELETE FROM events WHERE abs(random()) % 30 = 0;"

      def initialize(in_key_order: false)
        @in_key_order = in_key_order
      end

      # Fills a database of the demo until it has about that many bytes.
      def grow(file, bytes)
        @file = file
        @accounts = 0
        run(SCHEMA)
        seasons(bytes)
        run(@in_key_order ? "VACUUM; ANALYZE;" : "#{CLEARING} ANALYZE;")
      end

      private

      # Nothing of the last season is deleted yet: it fills the file up to its size.
      def seasons(bytes)
        missing = -> { [(bytes - File.size(@file)) / ACCOUNT, 0].max }
        each = missing.call / SEASONS
        (SEASONS - 1).times { add(each, decay: !@in_key_order) }
        add(missing.call, decay: false)
      end

      def run(statements)
        Data.sql(@file, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA cache_size=-3000000; #{statements}")
      end

      def add(accounts, decay:)
        run("#{Words::TABLE} BEGIN; #{rows(accounts)} #{DECAY if decay} COMMIT;")
        @accounts += accounts
      end

      # Each season counts on from where the one before ended.
      def rows(accounts)
        <<~SQL
          INSERT INTO accounts #{count(accounts)} SELECT #{uuid}, #{text(6)} || '@example.com', #{text(8)}, #{Words.paragraphs(1..2)}, #{AT} FROM n;
          INSERT INTO orders #{count(accounts, ORDERS)} SELECT #{uuid}, #{one_of("accounts", ORDERS)}, #{text(6)}, 'new', 100 + abs(random()) % 50000, #{AT} FROM n;
          INSERT INTO line_items (order_id, sku, quantity, price_cents) #{count(accounts, LINE_ITEMS)}
            SELECT #{one_of("orders", LINE_ITEMS / ORDERS)}, #{sku}, 1 + abs(random()) % 5, abs(random()) % 9999 FROM n;
          INSERT INTO events (account_id, kind, payload, created_at) #{count(accounts, EVENTS)}
            SELECT #{one_of("accounts", EVENTS)}, 'viewed', '{"agent":"' || hex(randomblob(20 + abs(random()) % 80)) || '"}', #{AT} FROM n;
          INSERT INTO documents (account_id, title, body, checksum) #{count(accounts, DOCUMENTS)}
            SELECT #{one_of("accounts", 1)}, 'Document ' || i, #{Words.paragraphs(1..20)}, #{text(20)} FROM n;
          INSERT INTO documents_fts (rowid, title, body) SELECT id, title, body FROM documents WHERE id > coalesce((SELECT max(id) FROM documents_fts_docsize), 0);
          INSERT INTO attachments (key, data) #{count(accounts, ATTACHMENTS)} SELECT #{text(14)}, randomblob(5000 + abs(random()) % 90000) FROM n;
        SQL
      end

      AT = "strftime('%Y-%m-%d %H:%M:%f', 1577836800 + i, 'unixepoch')"

      def count(accounts, each = 1)
        from, to = [@accounts, @accounts + accounts].map { |number| (number * each).floor }
        "WITH RECURSIVE n (i) AS (SELECT #{from} WHERE #{from} < #{to} UNION ALL SELECT i + 1 FROM n WHERE i < #{to - 1})"
      end

      # Every expression names i. Otherwise SQLite would evaluate it once, and not for every row.
      def text(bytes) = @in_key_order ? "printf('%0#{bytes * 2}d', i)" : "lower(hex(randomblob(#{bytes} + 0 * i)))"

      def sku = "printf('%06d', #{@in_key_order ? "i / 100" : "abs(random()) % 20000 + 0 * i"})"

      def uuid
        return "printf('%036d', i)" if @in_key_order

        "(SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 13, 3) || '-a' || substr(h, 16, 3) || '-' || substr(h, 19, 12) " \
          "FROM (SELECT #{text(16)} AS h))"
      end

      # The id of a row of the table, to which `each` of the new rows belong on average.
      def one_of(table, each)
        return "(SELECT id FROM #{table} WHERE rowid = min(i / #{each} + 1, (SELECT max(rowid) FROM #{table})))" if @in_key_order

        "(SELECT id FROM #{table} WHERE rowid >= 1 + abs(random()) % (SELECT max(rowid) FROM #{table}) + 0 * i LIMIT 1)"
      end
    end
  end
end
