# frozen_string_literal: true

# Standard input and output that stand still for longer than a minute.
RSpec.describe "an idle pipe", :slow, lane: "default" do
  running_app(initializer: "Rails.application.config.hotswap.timeout = 90")

  def shell(script)
    Open3.capture3(Project.bundled_environment, "sh", "-c", script, chdir: app.root.to_s, unsetenv_others: true)
  end

  it "ends its push after the timeout, and does not delay another push" do
    late = app.databases.release("late")
    hotswap = HotswapCommand::PROGRAM.join(" ")
    waiting = Thread.new { shell("(sleep 63; cat #{late}) | #{hotswap} cp - primary") }
    eventually { app.log.include?("push started: -") }
    expect(app.hotswap("cp", app.databases.release("meanwhile"), "primary").exit_code).to eq 0
    out, err, status = waiting.value

    expect([out, status.exitstatus]).to eq(["OK\n", 0]), err
    expect(app.version).to eq "late"
  end
end
