# frozen_string_literal: true

require_relative "support/shop"

# The pushed file, the difference and the WAL need room one after the other. Wherever it ends, nothing has changed.
RSpec.describe "a push of some tables on a disk that is nearly full", lane: "default" do
  include Untouched

  app_on_small_disk(Shop, 64)

  def articles(name) = (1..3).to_h { |id| [id, ["#{name} #{id}", "#{name} " * 400_000]] }

  it "changes nothing, leaves nothing, and says what to do, wherever the room ends" do
    expect(app.push(articles("old"), "--allow-orphans")).to be_ok
    codes = [18, 24, 28, 31, 34].map do |megabytes|
      leave megabytes * 1_000_000
      app.ask("INSERT INTO notes (text) VALUES ('with #{megabytes} MB')")
      refused = untouched(app) { app.push(articles("new"), "--allow-orphans") }
      expect(refused.stderr).to match(/^ERROR: .*(Make room|No space left)/)
      expect(app.titles).to eq ["old 1", "old 2", "old 3"]
      expect(app.stray_files - [filler]).to eq []
      FileUtils.rm_f(filler)
      refused.exit_code
    end

    expect(codes.uniq).to eq [3]
    expect(app.push(articles("new"), "--allow-orphans")).to be_ok
    expect(app.rows("SELECT count(*) FROM notes")).to eq [5]
    expect(app.titles).to eq ["new 1", "new 2", "new 3"]
  end
end
