# frozen_string_literal: true

require_relative "support/watched_server"

# These specs fail unless the worker retracts its announcement (`retract`) when the board cannot be written
# (`announce`), when the rename fails (push/replace.rs, at `promote`), and when the transaction is rolled back
# (push/in_place/mod.rs, at `nothing_came_of`).
RSpec.describe "after_swap, if a push fails after its announcement", lane: "default" do
  watched_app(settings: %(Hotswap.after_swap { File.write("told", "x", mode: "a") }))

  # The last such call of the worker, in a push that succeeds.
  def step_of(command, named)
    calls = told_of_one_more { app.calls.traced { expect(app.public_send(command)).to have_attributes(exit_code: 0) } }
    steps = calls.zip(SystemCalls.steps(calls)).select { |call, step| step.program == "worker" && "#{step.call} #{step.file}" == named }
    steps.reverse.find { |call, _| !block_given? || yield(call) }.last
  end

  def told = app.root.join("told").then { |file| file.exist? ? file.size : 0 }

  def told_of_one_more
    before = told
    yield.tap { eventually { expect(told).to eq before + 1 } }
  end

  # The next push waits for the after_swap blocks of the push before it.
  def expect_no_after_swap(command, step, error)
    told_of_one_more do
      refused = untouched { app.calls.with(step, error) { app.public_send(command) } }
      expect(refused).to have_attributes(exit_code: 5, stderr: /^ERROR: /)
      expect(app.public_send(command)).to have_attributes(exit_code: 0)
    end
  end

  it "is not called if the rename fails, but is called for the next push", :linux do
    expect_no_after_swap(:push, step_of(:push, "rename staged"), :EIO)
  end

  it "is not called if the announcement cannot be written" do
    moving = step_of(:push, "write app.sqlite3.hotswap") { |call| call.data.getbyte(36) == 3 }

    expect_no_after_swap(:push, moving, :ENOSPC)
  end

  it "is not called if the disk has no room for the transaction in place" do
    expect_no_after_swap(:overwrite, step_of(:overwrite, "write app.sqlite3-wal"), :ENOSPC)
  end
end
