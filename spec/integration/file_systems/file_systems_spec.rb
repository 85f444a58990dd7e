# frozen_string_literal: true

require_relative "../../support/file_attributes"
require_relative "../crash/support/trouble"
require_relative "support/mounted_server"

# What differs between file systems: shared blocks, leases, files without a name, direct I/O, the numbers of inodes, and
# whether the kernel reports changes. Each row of the table runs against a server whose database lies on one.
RSpec.describe "a database on", :slow, lane: "default" do
  {
    ext4: "ext4", xfs: "XFS", btrfs: "btrfs", tmpfs: "tmpfs", overlay: "overlayfs, in the lower layer",
    overlay_of_two: "overlayfs whose layers are on two file systems, in the lower one", fuse: "a FUSE file system (bindfs)"
  }.each do |kind, named|
    describe named do
      before(:context) do
        reason = MountedFolder.missing(kind)
        skip reason if reason
        skip "no C compiler here makes the library that stands in between" unless SystemCalls.available?
        @app = MountedServer.start(on: kind)
      end
      after(:context) { @app&.tear_down }

      attr_reader :app

      def settled = eventually(20) { app.process.members == [app.pid] }

      def inode = File.stat(app.database_path).ino

      def expect_whole(rows)
        expect(app.names).to eq rows
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
        expect(TestDatabase.read(app.database_path) { |db| db.get_first_value("PRAGMA journal_mode") }).to eq "wal"
        # FUSE keeps a removed file under another name for as long as a process has it open.
        eventually { expect(app.stray_files).to eq [] }
      end

      it "can be pushed, pulled, and rolled back" do
        app.add("written")
        before = app.names
        app.offer("new")
        expect(app.push).to have_attributes(exit_code: 0, stdout: "OK\n", stderr: HotswapCommand::SWAPPED)
        expect_whole(%w[new])

        app.add("since")
        expect(app.pull).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
        backup = app.root.join(WatchedServer::BACKUP)
        expect(TestDatabase.content(backup)).to eq TestDatabase.content(app.database_path)
        streamed = app.root.join("streamed.sqlite3").to_s
        expect(app.hotswap("cp", WatchedServer::LIVE, "-", out: [streamed, "w"])).to have_attributes(exit_code: 0)
        expect(TestDatabase.content(streamed)).to eq TestDatabase.content(app.database_path)

        expect(app.undo).to have_attributes(exit_code: 0)
        expect_whole(before)
      end

      it "can be written in place" do
        app.add("written")
        file = inode
        app.offer("in-place")
        expect(app.overwrite).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(inode).to eq file
        expect_whole(%w[in-place])
      end

      # Two programs that have the database open. The second one holds no lock of SQLite.
      def strangers
        skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
        app.version
        shell = Stranger.shell(app.database_path)
        shell.ask("SELECT * FROM items")
        [shell, Stranger.ruby("file:#{app.database_path}?immutable=1")]
      end

      it "keeps its file while another program has it open" do
        file = inode
        shell = strangers.first

        app.offer("next-to-a-stranger")
        expect(app.push).to have_attributes(exit_code: 0, stderr: /In place, because the database #{Project.linux? ? "is" : "could be"} open in /)
        expect(inode).to eq file
        expect_whole(%w[next-to-a-stranger])
        expect(shell.ask("SELECT name FROM items")).to eq "next-to-a-stranger"
      end

      # On a busy machine the worker cannot name the program in time.
      it "is not replaced before the last program has closed it", :linux do
        app.offer("after-the-strangers")
        strangers.each do |stranger|
          expect(app.push("--in-place=never")).to have_attributes(exit_code: 4, stderr: /ERROR: .*app.sqlite3 is open in /)
          stranger.stop
        end
        expect(app.push("--in-place=never")).to have_attributes(exit_code: 0)
        expect_whole(%w[after-the-strangers])
      end

      # Fails without `attributes::keep`.
      it "keeps its label, its other attributes, and its access list" do
        skip "this Ruby has no fiddle" unless FileAttributes.available?
        set = FileAttributes.set(app.database_path)
        skip "#{named} keeps no attributes here" if set.empty?
        RSpec.configuration.reporter.message("        #{set.keys.join(", ")}")

        app.offer("labelled")
        %i[push undo overwrite].each do |command|
          expect(app.public_send(command)).to have_attributes(exit_code: 0)
          expect(FileAttributes.of(app.database_path)).to eq set
        end
      end

      in_place = "write app.sqlite3-wal"
      {
        push: ["a push", Project.linux? ? "rename staged" : in_place], overwrite: ["a push in place", in_place], pull: ["a pull", "rename part"]
      }.each do |command, (what, commit)|
        it "is whole if #{what} is killed before or after its commit" do
          outcomes = expect_no_violation(command) { |steps| [steps.reverse.find { |step| "#{step.call} #{step.file}" == commit }] }
          expect(outcomes.map(&:state)).to eq %i[old new]
        end
      end

      {push: "a push", overwrite: "a push in place", undo: "a rollback", pull: "a pull"}.each do |command, what|
        it "is whole if #{what} is killed at any call", :thorough, timeout: 3_600 do
          expect_no_violation(command, &:itself)
        end
      end

      def expect_no_violation(command)
        trouble = Trouble.new(app, command)
        chosen = yield trouble.steps
        chosen.product(%i[killed_before killed_after]).each { |step, how| trouble.meet(step, how) }
        RSpec.configuration.reporter.message("\n#{trouble.table}".gsub(/^/, "    "))
        expect(trouble.violations).to eq []
        trouble.outcomes
      end
    end
  end
end
