# frozen_string_literal: true

require_relative "../crash/support/system_calls"
require_relative "support/mounted_server"

# A database that came with the image of a container lies in a layer that no process writes to. The first process that
# opens it for writing has overlayfs copy it into the upper layer. Only the first push finds it in that state.
RSpec.describe "the first push of a database that came with an image", :slow, lane: "default" do
  {overlay: "with both layers on one file system", overlay_of_two: "with each layer on a file system of its own"}.each do |kind, named|
    describe named do
      before do
        reason = MountedFolder.missing(kind)
        skip reason if reason
        skip "no C compiler here makes the library that stands in between" unless SystemCalls.available?
        @app = keep(MountedServer.start(on: kind))
        @app.offer("new")
      end

      attr_reader :app

      def settled = eventually(20) { app.process.members == [app.pid] }

      it "finds a program that has had the file open since before it was copied", :linux do
        Stranger.ruby("file:#{app.database_path}?immutable=1")
        expect(app.names).to eq %w[old]
        expect(app.push("--in-place=never")).to have_attributes(exit_code: 4, stderr: /ERROR: .*app.sqlite3 is open in /)
        expect(app.names).to eq %w[old]
      end

      # Fails without `is_same_below` (previous/hidden.rs): then the next push takes its own second name for that of
      # another program. In place, what was replaced gets its name after the commit.
      {Project.linux? ? "link kept" : "write app.sqlite3-wal" => :old, "rename staged" => :new}.each do |call, state|
        it "can be killed after #{call}" do
          expect(app.names).to eq %w[old]
          step = SystemCalls::Step.new("worker", *call.split, 1)
          expect(app.calls.with(step, :killed_after) { app.push }).to have_attributes(exit_code: 5)
          settled
          expect(app.names).to eq((state == :old) ? %w[old] : %w[new])

          app.offer("newer")
          expect(app.push).to have_attributes(exit_code: 0, stderr: /, \d+ bytes, #{HotswapCommand::HOW}, requests held for /o)
          settled
          expect(app.undo).to have_attributes(exit_code: 0)
          expect(app.names).to eq((state == :old) ? %w[old] : %w[new])
          expect(TestDatabase.integrity(app.database_path)).to eq "ok"
          expect(app.stray_files).to eq []
        end
      end
    end
  end
end
