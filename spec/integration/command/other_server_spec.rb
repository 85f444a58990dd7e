# frozen_string_literal: true

require_relative "../../support/items_server"
require_relative "support/obedient_program"

# Environments of one application share the path of the socket: a test or a task may find the development server there.
RSpec.describe "a program that finds the server of another environment", lane: "default" do
  running_app(ItemsServer)

  let(:new_file) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, ["new"]) }

  def names(file) = TestDatabase.read(app.root.join(file)) { |db| db.execute("SELECT name FROM items").flatten }

  it "copies the program's database under every name, and leaves that of the server alone" do
    before = app.version
    app.file("test.sqlite3", ItemsServer::SCHEMA, ["test"])
    program = ObedientProgram.new(app.root)
    program.tell(%(Hotswap.database_path = "test.sqlite3"; Hotswap.databases.first.path))

    expect(program.hotswap("cp", "database", "pulled.sqlite3")).to match [0, "", /\Aidentity: \h{32}\nOK\n\z/]
    expect(names("pulled.sqlite3")).to eq ["test"]
    expect(program.hotswap("cp", new_file, "database")).to match [0, "OK\n", HotswapCommand::SWAPPED]
    expect(names("test.sqlite3")).to eq ["new"]
    expect(program.hotswap("rollback")).to match [0, "OK\n", HotswapCommand::SWAPPED]
    expect(names("test.sqlite3")).to eq ["test"]
    expect(program.tell("Hotswap.push(#{new_file.inspect}).database.path")).to end_with "/test.sqlite3"
    expect(program.hotswap("cp", "nothing.sqlite3", "else.sqlite3")).to match [2, "", /\AERROR: neither path matches a managed database/]

    expect(app.version).to eq before
    expect(app.log).to include("left to the client")
    expect(app.log).not_to include("command failed")
  end
end
