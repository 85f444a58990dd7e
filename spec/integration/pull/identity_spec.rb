# frozen_string_literal: true

# The identity of a database's content (content_id.rs), and a push that compares with it (push/if_changed.rs).
RSpec.describe "the identity of a database", lane: "default" do
  %w[wal delete].each do |journal_mode|
    context "in journal mode #{journal_mode}" do
      running_app(ItemsServer, journal_mode: journal_mode)

      before { app.post("/", name: "one more") }

      def identity(target = "pulled.sqlite3", **options) = identity_in(app.hotswap("cp", "database", target, **options))

      def identity_in(result) = result.stderr[/^identity: (\h{32})$/, 1]

      def sql(statement, path = app.database_path) = SQLite3::Database.new(path) { |db| db.execute_batch(statement) }

      def push(file, *flags) = app.hotswap("cp", file, "database", "--if-changed", *flags)

      def inode = File.stat(app.database_path).ino

      def expect_unchanged(result)
        expect(result).to have_attributes(exit_code: 0, stdout: "OK\n")
        expect(result.stderr).to include("app.sqlite3 already has this content. Nothing was swapped.")
      end

      it "is the same for a file, a pipe and a redirected pull, and for the program that asks" do
        results = [
          app.hotswap("cp", "database", "pulled.sqlite3"), app.hotswap("cp", "database", "-"),
          app.hotswap("cp", "database", "-", out: app.root.join("redirected.sqlite3").to_s)
        ]
        json = JSON.parse(app.hotswap("cp", "database", "json.sqlite3", "--json", "--quiet").stdout)

        expect([*results.map { |result| identity_in(result) }, json["identity"]].uniq).to match [/\A\h{32}\z/]
        expect(app.hotswap("cp", "database", "pulled.sqlite3", "--quiet")).to have_attributes(stdout: "", stderr: "")
      end

      it "changes with one row, and not with a checkpoint, another journal mode or a restart" do
        before = identity
        sql("PRAGMA wal_checkpoint(TRUNCATE)")
        expect(identity).to eq before
        app.stop
        %w[delete wal].each { |mode| sql("PRAGMA journal_mode = #{mode}") }
        sql("PRAGMA journal_mode = #{journal_mode}")
        app.restart
        expect(identity).to eq before
        app.post("/", name: "another")
        expect(identity).not_to eq before
      end

      it "is that of the pulled file, of a copy of it and of a backup" do
        before = identity
        FileUtils.cp(app.root.join("pulled.sqlite3"), app.root.join("copied.sqlite3"))
        SQLite3::Database.new(app.root.join("pulled.sqlite3").to_s) do |db|
          SQLite3::Database.new(app.root.join("backup.sqlite3").to_s) { |to| SQLite3::Backup.new(to, "main", db, "main").tap { |backup| backup.step(-1) }.finish }
        end
        %w[pulled copied backup].each do |name|
          live = inode
          result = push("#{name}.sqlite3")
          expect_unchanged(result)
          expect(identity_in(result)).to eq before
          expect(inode).to eq live
        end
      end

      it "lets a push swap nothing if the content is live already, and close no gate" do
        new = app.file("files/new.sqlite3", ItemsServer::SCHEMA, %w[new])
        %w[auto always].each do |in_place|
          app.post("/", name: "other")
          changed = push(new, "--in-place=#{in_place}", "--json")
          expect(JSON.parse(changed.stdout)).to include("changed" => true, "identity" => identity)
          log = app.log.length
          unchanged = push(new, "--in-place=#{in_place}", "--json")
          expect(JSON.parse(unchanged.stdout)).to eq(
            "command" => "push", "database" => "storage/app.sqlite3", "bytes" => File.size(new), "identity" => identity, "changed" => false, "exit_status" => 0
          )
          expect(app.log[log..]).to match(/already has this content, nothing was swapped(?!.*swap lock)/m)
          expect(app.version).to eq "new"
          expect(app.stray_files).to eq []
        end
      end

      it "lets a push be repeated that has succeeded" do
        before = identity
        new = app.file("files/new.sqlite3", ItemsServer::SCHEMA, [journal_mode])
        first, again = Array.new(2) { push(new, "--if-match", before) }
        expect(first).to have_attributes(exit_code: 0), first.stderr
        expect_unchanged(again)
        app.post("/", name: "a row")
        expect(push(new, "--if-match", before)).to have_attributes(exit_code: 6)
      end
    end
  end
end
