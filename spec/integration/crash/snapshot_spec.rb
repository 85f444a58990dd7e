# frozen_string_literal: true

require_relative "support/bank"

# These specs depend on the WAL frames that replace pages of the main file (pages.rs, `overlay`), and on reading the WAL
# index after the transaction has begun (snapshot.rs).
RSpec.describe "a pull under a writer at full speed and another process's checkpoints", lane: "default" do
  it "is consistent, thirty times", timeout: 240 do
    app = ItemsServer.start(schema: Bank::SCHEMA)
    (@servers_of_this_example ||= []) << app
    copy = app.root.join("copy.sqlite3").to_s
    bank = Bank.new(app.database_path)

    seen = bank.open do
      Array.new(30) do |number|
        file, options = number.even? ? [copy, {}] : ["-", {out: [copy, "w"]}]
        expect(app.hotswap("cp", "storage/app.sqlite3", file, **options)).to have_attributes(exit_code: 0)
        expect(Bank.broken(copy)).to eq []
        Bank.transfers(copy)
      end
    end

    expect(seen).to eq seen.sort
    expect(seen.uniq.size).to be > 15 # they did write
  end
end
