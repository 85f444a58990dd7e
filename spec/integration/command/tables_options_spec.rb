# frozen_string_literal: true

require "support/items_server"

RSpec.describe "the options that name tables" do
  before(:context) { @app = ItemsServer.start }
  after(:context) { @app&.tear_down }

  attr_reader :app

  let(:file) { app.file("new.sqlite3", ItemsServer::SCHEMA, %w[new]) }

  def refusal(*arguments)
    refused = app.hotswap("cp", *arguments)
    expect(refused.exit_code).to eq 2
    refused.stderr
  end

  it "do not go with options that contradict them" do
    expect(refusal(file, "database", "--only=items", "--except=items")).to match(/'--only <LIST>' cannot be used with '--except <LIST>'/)
    expect(refusal(file, "database", "--only=items,", "--json")).to include("it must be names of tables, separated by commas")
    expect(refusal(file, "database", "--only=items", "--if-match", "0" * 32)).to match(/--only and --if-match do not go together: .*Leave one of them out/)
    expect(refusal(file, "database", "--except=items", "--in-place=never")).to match(/--except and --in-place=never do not go together/)
    expect(refusal(file, "database", "--only", "items", "--skip-schema-check")).to match(/--only and --skip-schema-check do not go together/)
    expect(app.version).to eq "old"
  end

  it "fit the direction of the copy" do
    expect(refusal(file, "database", "--redacted")).to match(/--redacted is for a pull, and this is a push/)
    expect(refusal(file, "database", "--allow-orphans")).to match(/--allow-orphans is for a push of some tables/)
    expect(refusal("database", "-", "--allow-orphans", "--only=items")).to match(/--allow-orphans is for a push, and this is a pull/)
    expect(refusal("previous:database", "database", "--only=items")).to match(/--only is for a push or a pull, and this is a rollback/)
    expect(refusal("previous:database", "database", "--redacted")).to match(/--redacted is for a pull, and this is a rollback/)
  end
end
