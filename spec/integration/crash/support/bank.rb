# frozen_string_literal: true

# A database whose transactions keep an invariant. One process writes to it at full speed, another one makes checkpoints
# of every kind. A copy that breaks the invariant is not a consistent snapshot.
class Bank
  # The vault lies between accounts and transfers, so that a copy makes them in different parts.
  SCHEMA = <<~SQL
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, padding BLOB);
    CREATE TABLE vault (content BLOB);
    CREATE TABLE transfers (id INTEGER PRIMARY KEY AUTOINCREMENT, giver INTEGER, taker INTEGER, amount INTEGER);
    CREATE TABLE totals (transfers INTEGER NOT NULL);
    INSERT INTO totals VALUES (0);
    WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO accounts SELECT i, 0, zeroblob(700) FROM n;
    INSERT INTO vault VALUES (zeroblob(5000000));
  SQL

  CHECKPOINTS = %w[PASSIVE FULL RESTART TRUNCATE].freeze

  def initialize(path)
    @path = path
  end

  # The writer and the checkpointer work while the block runs.
  def open
    pids = [start { |db, chance| transfer(db, chance) }, start { |db, chance| checkpoint(db, chance) }]
    yield
  ensure
    (pids || []).each do |pid|
      Process.kill(:KILL, pid)
      Process.wait(pid)
    end
  end

  # What a copy breaks. It should be empty.
  def self.broken(copy)
    TestDatabase.read(copy) do |db|
      [
        *db.execute("PRAGMA integrity_check").flatten.reject { |row| row == "ok" },
        ("the balances add up to #{db.get_first_value("SELECT sum(balance) FROM accounts")}" unless db.get_first_value("SELECT sum(balance) FROM accounts").zero?),
        ("#{db.get_first_value("SELECT count(*) FROM transfers")} transfers, of which #{db.get_first_value("SELECT transfers FROM totals")} were counted" unless
          db.get_first_value("SELECT count(*) = (SELECT transfers FROM totals) FROM transfers") == 1),
        ("a balance is not what was transferred" unless db.get_first_value(<<~SQL).zero?)
          SELECT count(*) FROM accounts WHERE balance !=
            (SELECT coalesce(sum(CASE taker WHEN accounts.id THEN amount ELSE -amount END), 0) FROM transfers WHERE accounts.id IN (giver, taker))
        SQL
      ].compact
    end
  end

  def self.transfers(copy) = TestDatabase.read(copy) { |db| db.get_first_value("SELECT seq FROM sqlite_sequence WHERE name = 'transfers'").to_i }

  private

  def start
    Process.fork do
      db = SQLite3::Database.new(@path)
      db.busy_timeout = 10_000
      db.execute("PRAGMA synchronous = NORMAL")
      chance = Random.new(Process.pid)
      loop { yield db, chance }
    rescue => error
      warn "a writer of the bank ended: #{error.full_message}"
    ensure
      # Skips all exit handlers, including RSpec's.
      exit!
    end
  end

  # One in a transaction, or many; now and then the oldest are forgotten, and made up for.
  def transfer(db, chance)
    db.transaction(:immediate) do
      count = (chance.rand < 0.05) ? 300 : 1
      count.times do
        giver, taker, amount = 1 + chance.rand(200), 201 + chance.rand(200), 1 + chance.rand(100)
        db.execute("INSERT INTO transfers (giver, taker, amount) VALUES (?, ?, ?)", [giver, taker, amount])
        db.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", [amount, giver])
        db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", [amount, taker])
      end
      db.execute("UPDATE totals SET transfers = transfers + ?", [count])
      forget(db) if db.get_first_value("SELECT transfers FROM totals") > 3_000
    end
  end

  def forget(db)
    db.execute("DELETE FROM transfers")
    db.execute("UPDATE accounts SET balance = 0")
    db.execute("UPDATE totals SET transfers = 0")
  end

  def checkpoint(db, chance)
    db.execute("PRAGMA wal_checkpoint(#{CHECKPOINTS.sample(random: chance)})")
    sleep chance.rand(0.02)
  rescue SQLite3::BusyException, SQLite3::LockedException
    nil # a writer or a snapshot was in the way; that is what the other ones are for
  end
end
