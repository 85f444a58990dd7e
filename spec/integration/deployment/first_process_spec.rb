# frozen_string_literal: true

# The first process of a container inherits every process there whose parent has ended.
RSpec.describe "an application whose Puma is the first process of its container", :slow, lane: "default" do
  namespaces = %w[unshare --pid --fork --kill-child --mount-proc]

  contained = Class.new(AppServer) do
    define_method(:command) { [*namespaces, *super()] }
    private :command
  end

  before { skip "needs root and namespaces" unless Process.uid.zero? && system(*namespaces, "true", err: File::NULL) }

  it "leaves no zombie after a command" do
    app = keep(contained.start)
    expect(app.hotswap("cp", app.databases.release("new"), "database")).to have_attributes(exit_code: 0)
    expect(app.hotswap("cp", "database", "log/backup.sqlite3")).to have_attributes(exit_code: 0)

    eventually { expect(app.process.members(zombies: true).map { |pid| ServerProcess.command_line(pid) }).to match [/unshare/, /puma/] }
    # unshare ignores TERM, and everything in the container ends with it.
    app.kill
  end
end
