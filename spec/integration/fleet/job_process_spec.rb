# frozen_string_literal: true

require_relative "support/job_notes"

RSpec.describe "a job process", :fleet, lane: "default" do
  it "moves with the application: it loses no job, runs none twice, and reads no old rows" do
    app = boot_app(workers: 2)
    generations = Generations.new(app)
    notes = JobNotes.new(app)
    jobs = AppProgram.new(app, *Project::RUBY, "bin/jobs")
    app.post("/jobs", token: "first")
    eventually(30) { notes.tokens == ["first"] }

    senders = Visitors.spawn(port: app.port, gets_per_second: 0, posts_per_second: 20, post_path: "/jobs")
    swap(generations, 5) { |push| eventually { notes.all.last["version"] == push.version } }
    sent = senders.finish
    eventually(20) { notes.tokens.size > sent.count }

    expect(sent.failures).to eq []
    expect(notes.tokens.tally.values.uniq).to eq [1]
    expect(notes.verdict(generations).broken).to eq []
    expect(member_pids(app)).to include(jobs.pid)
  ensure
    senders&.dismiss
  end
end
