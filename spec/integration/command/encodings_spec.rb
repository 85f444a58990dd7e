# frozen_string_literal: true

# Names are bytes. The locale makes no difference, even if there is none, as under cron, systemd and ssh.
RSpec.describe "file names that are not ASCII", lane: "default" do
  locales = {
    "in UTF-8" => {"LC_ALL" => "C.UTF-8"},
    "without a locale" => {"LC_ALL" => "C", "LANG" => nil},
    "if LANG is not set" => {"LC_ALL" => nil, "LANG" => nil}
  }
  latin1 = "caf\xE9.sqlite3".b

  context "for the command" do
    before(:context) do
      @server = ItemsServer.start
      @folder = @server.root.join("Büro").tap(&:mkpath)
    end

    after(:context) { @server&.tear_down }

    attr_reader :server, :folder

    def hotswap(*arguments, env:, **options) = server.hotswap(*arguments, "--socket", server.socket_path, env: env, chdir: folder, **options)

    locales.each do |where, env|
      it "are read, written and shown #{where}" do
        ["naïve 漢字.sqlite3", latin1].each do |name|
          pulled = hotswap("cp", "database", name, env: env)
          expect(pulled).to have_attributes(exit_code: 0, stderr: HotswapCommand::PULLED)
          copy = "#{folder}/#{name.dup.force_encoding(Encoding::UTF_8)}"
          expect(TestDatabase.integrity(copy)).to eq "ok"
          expect(hotswap("cp", name, "database", env: env)).to have_attributes(exit_code: 0)
          expect(hotswap("cp", copy, "database", env: env)).to have_attributes(exit_code: 0)
        end
        expect(hotswap("cp", "漢字", "database", env: env).stderr).to include("cannot read 漢字: No such file")
        expect(hotswap("cp", "\xE9".b, "database", env: env).stderr).to include('cannot read \xe9: No such file')
      end

      it "work in the path of the current folder #{where}" do
        expect(server.hotswap("version", env: env, chdir: folder)).to have_attributes(exit_code: 0, stderr: "")
        expect(hotswap("cp", "database", "-", env: env).exit_code).to eq 0
      end
    end
  end

  context "for the server" do
    # Boots the server in a folder below its own.
    def serve(server, folder)
      @outer = server.root
      path = "#{@outer}/#{folder}"
      # Pathname takes invalid text for none, and bytes as they are.
      server.instance_variable_set(:@root, Pathname(path.valid_encoding? ? path : path.b).tap(&:mkpath))
      server.send(:set_up) { yield if block_given? }
    end

    after { FileUtils.rm_rf(@outer) if @outer }

    # The gem lies below the application's folder.
    def serve_items(folder, database, env)
      config = "$LOAD_PATH.unshift(File.join(Dir.pwd, 'lib'))\n#{ItemsServer::APPLICATION.gsub("storage/app.sqlite3", database.dump[1..-2])}"
      server = ItemsServer.new(config: config, database: database, threads: 1, env: env)
      made = server.file("made.sqlite3", ItemsServer::SCHEMA, %w[old], journal_mode: "wal")
      @new = server.file("new.sqlite3", ItemsServer::SCHEMA, %w[new])
      serve(server, folder) do
        FileUtils.cp_r(Project::ROOT.join("lib"), server.root)
        server.root.join("storage").mkpath
        FileUtils.cp(made, File.join(server.root, database))
      end
      yield server
    ensure
      server&.tear_down
    end

    locales.each do |where, env|
      it "work in the path of the application, its database and the gem #{where}" do
        serve_items("Büro", "storage/büro.sqlite3", env) do |server|
          expect(server.version).to eq "old"
          pushed = server.hotswap("cp", @new, "database", env: env)

          expect(pushed).to have_attributes(exit_code: 0, stderr: /^storage\/büro.sqlite3, \d+ bytes, #{HotswapCommand::HOW}/o)
          expect(server.version).to eq "new"
          expect(server.hotswap("cp", "storage/büro.sqlite3", "kopie.sqlite3", env: env)).to have_attributes(exit_code: 0)
          expect(server.log).to include("managing 1 database(s): storage/büro.sqlite3")
        end
      end
    end

    it "work in the path of the application if they are not UTF-8" do
      serve_items("B\xFCro", "storage/app.sqlite3", {"LC_ALL" => "C"}) do |server|
        expect(server.version).to eq "old"
        pushed = server.hotswap("cp", @new, "database")

        expect(pushed).to have_attributes(exit_code: 0)
        expect(server.version).to eq "new"
      end
    end

    # Where there is no locale, the sqlite3 gem itself opens no database whose path Rails has made of such a folder.
    it "work in the path of a Rails application without a locale" do
      app = AppServer.new
      database = FileUtils.cp(DemoApp.seeded_database, app.root.join("elsewhere.sqlite3")) || app.root.join("elsewhere.sqlite3").to_s
      app.instance_variable_get(:@env).merge!("LC_ALL" => "C", "DATABASE_URL" => "sqlite3:#{database}")
      new = TestDatabase.new(app.root).release("v2")
      serve(app, "Büro")

      expect(app.hotswap("cp", new, "primary", env: {"LC_ALL" => "C"})).to have_attributes(exit_code: 0)
      expect(app.version).to eq "v2"
      expect(app.log).to match(/managing \d database\(s\): #{database}, storage/)
    ensure
      app&.tear_down
    end
  end
end
