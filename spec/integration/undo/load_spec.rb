# frozen_string_literal: true

require_relative "support/versions"

# Every write is answered with the names in the database that took it. The first name tells which database that is.
RSpec.describe "pushes and rollbacks under load" do
  include Versions
  include Writers

  {"by rename" => [], "in place" => %w[--in-place=always]}.each do |named, options|
    describe named do
      running_app(ItemsServer)

      it "lose no write that was acknowledged: it is live, or in the previous version" do
        expect(push("first", options:)).to be_ok
        acknowledged = Hash.new { |all, generation| all[generation] = [] }
        broken = []
        commands = ->(round) { round.even? ? push("pushed-#{round}", options:) : rollback(*options) }

        loaded(acknowledged, broken) do
          6.times do |round|
            before = settled && app.version.split.first
            expect(commands.call(round)).to be_ok
            # The version below this push was replaced by it; what is below that is gone, and so are its promises.
            kept = items(1)
            expect(kept.first).to eq before
            promised = acknowledged[before].dup
            broken.concat(promised - kept)
          end
        end

        live = app.version.split
        broken.concat(acknowledged[live.first] - live)
        expect(acknowledged.values.sum(&:size)).to be > 50
        expect(broken).to eq []
      end
    end
  end

  def loaded(acknowledged, broken, &block)
    write = lambda do |writer, number|
      name = "w#{writer}-#{number}"
      answer = app.post("/", name: name, timeout: 20)
      (answer.status == 200) ? acknowledged[answer.body[/\A\S+/]] << name : broken << "#{answer.status}: #{answer.body[0, 80]}"
    end
    beside_writers(write, &block)
  end
end
