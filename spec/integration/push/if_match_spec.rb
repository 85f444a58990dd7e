# frozen_string_literal: true

require_relative "../crash/support/watched_server"

# push/if_match.rs. One row is committed at each stage of a push.
RSpec.describe "hotswap cp --if-match", lane: "default" do
  # A member whose last act, with the gates closed and the connection still in the worker's way, is to write.
  late = 'Hotswap.on_disconnect { |database| system("sqlite3", database.path, "INSERT INTO items (name) VALUES (\'late\')") if File.exist?("write-late") }'

  %w[wal delete].each do |journal_mode|
    context "in journal mode #{journal_mode}" do
      watched_app(journal_mode: journal_mode, settings: "config.max_pause = 4; #{late}")

      before do
        FileUtils.rm_f(%w[go-on waits write-late].map { |name| app.root.join(name) })
        app.add("one more") if app.version.empty?
        @identity = pull
      end

      attr_reader :identity

      let(:file) { app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]) }

      def pull = identity_in(app.hotswap("cp", "database", "pulled.sqlite3"))

      def identity_in(pulled) = pulled.stderr[/^identity: (\h{32})$/, 1]

      def start(*flags) = app.start_hotswap("cp", file, "database", "--if-match", identity, *flags)

      def commit(name) = SQLite3::Database.new(app.database_path) { |db| db.execute("INSERT INTO items (name) VALUES (?)", [name]) }

      def expect_refused(push, row)
        expect(push).to have_attributes(exit_code: 6, stdout: "")
        expect(push.stderr).to match(/^ERROR: .*app\.sqlite3 no longer has the content that --if-match names: its identity is now #{pull}, not #{identity}; rows: items \d+ → \d+\. Nothing was swapped/)
        expect(app.version).to end_with row
        expect(app.stray_files).to eq []
        expect(TestDatabase.integrity(app.database_path)).to eq "ok"
      end

      %w[auto always].each do |in_place|
        context "with --in-place=#{in_place}" do
          let(:flag) { "--in-place=#{in_place}" }

          it "swaps a database that was not written, and prints the identity with which the next push succeeds" do
            pushed = start(flag).wait
            expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), pushed.stderr
            expect(app.version).to eq "new"
            expect(pushed.stderr).not_to include(" times") # The gates closed once.
            expect(identity_in(pushed)).to eq pull
            again = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[newer]), "database", flag, "--if-match", pull)
            expect(again).to have_attributes(exit_code: 0), again.stderr
            expect(app.version).to eq "newer"
          end

          it "is refused before the source is received" do
            commit("early")
            push = FedCommand.start(app, "cp", "-", "database", flag, "--if-match", identity)
            expect_refused(push.wait, "early")
          end

          it "is refused if a row comes while the source is received" do
            push = FedCommand.start(app, "cp", "-", "database", flag, "--if-match", identity)
            bytes = File.binread(file)
            push.write(bytes[0, 4096])
            eventually { app.stray_files.any? }
            commit("meanwhile")
            push.write(bytes[4096..])
            push.close
            expect_refused(push.wait, "meanwhile")
          end

          it "is refused if a row comes while the push waits for a request" do
            log = app.log.length
            waiting = Thread.new { app.get("/wait") }
            eventually { app.root.join("waits").exist? }
            push = start(flag)
            eventually { app.log[log..].include?("acquiring swap lock") }
            sleep 0.2
            commit("waited for")
            FileUtils.touch(app.root.join("go-on"))
            expect_refused(push.wait, "waited for")
            waiting.join
          end

          it "is refused if a row comes while the gates close" do
            skip "there is no sqlite3 shell" unless Stranger.available?("sqlite3")
            app.version
            FileUtils.touch(app.root.join("write-late"))
            expect_refused(start(flag).wait, "late")
          end
        end
      end

      # live/mod.rs, `lock_exclusively`: the gates are closed, and the worker has closed one connection and not opened the
      # next one. Fails without the seal.
      it "is refused if a stranger writes between the worker's last two connections", :linux do
        calls = app.calls.traced { expect(start.wait).to have_attributes(exit_code: 0) }
        sealed = calls.index { |call| call.call == "utimensat" }
        opened = SystemCalls.steps(calls).each_with_index.find { |step, nth| nth > sealed && step.call == "open" && step.file == "app.sqlite3" }.first
        @identity = pull
        app.calls.with(opened, :slow) do
          app.calls.traced do
            push = start
            eventually(every: 0.005) { app.root.join("calls.trace").binread.include?("worker utimensat app.sqlite3") }
            sleep 0.05
            commit("in the gap")
            expect_refused(push.wait, "in the gap")
          end
        end
      end

      it "compares again if only the WAL was emptied" do
        log = app.log.length
        waiting = Thread.new { app.get("/wait") }
        eventually { app.root.join("waits").exist? }
        push = start
        eventually { app.log[log..].include?("acquiring swap lock") }
        sleep 0.2
        SQLite3::Database.new(app.database_path) { |db| db.execute("PRAGMA wal_checkpoint(TRUNCATE)") }
        FileUtils.touch(app.root.join("go-on"))
        expect(push.wait).to have_attributes(exit_code: 0), -> { push.stderr }
        waiting.join
      end
    end
  end

  context "on the command line" do
    running_app(ItemsServer)

    it "refuses what is no identity" do
      expect(app.hotswap("cp", "new.sqlite3", "database", "--if-match", "yesterday"))
        .to have_attributes(exit_code: 2, stderr: /it must be the identity that a pull has printed: 32 hexadecimal digits/)
    end

    it "takes a database without content for what it is" do
      File.write(app.database_path, "")
      FileUtils.rm_f(%w[-wal -shm].map { |suffix| app.database_path + suffix })
      identity = app.hotswap("cp", "database", "empty.sqlite3").stderr[/^identity: (\h{32})$/, 1]
      pushed = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database", "--if-match", identity)
      expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
    end

    it "does not create a database" do
      FileUtils.rm_f(Dir["#{app.database_path}*"].grep_v(/hotswap\z/))
      refused = app.hotswap("cp", app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new]), "database", "--if-match", "0" * 32)
      expect(refused).to have_attributes(exit_code: 6, stderr: /does not exist, and --if-match names its content/)
    end
  end
end
