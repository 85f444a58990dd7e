# frozen_string_literal: true

require "hotswap"

RSpec.describe "bin/rails generate hotswap:install", lane: "default" do
  before(:context) do
    @app = RailsApp.new
    @app.root.join("bin/hotswap").delete
    @said = @app.rails("generate", "hotswap:install")
  end

  after(:context) { @app&.remove }

  attr_reader :app, :said

  def binstub = app.root.join("bin/hotswap")

  # Runs it without Bundler.
  def hotswap(*arguments, env: {}, chdir: "/") = HotswapCommand.run(*arguments, program: [binstub.to_s], chdir: chdir, env: env)

  it "creates bin/hotswap and an initializer, and says how to use them" do
    expect(said).to match(%r{create +bin/hotswap$}).and match(%r{create +config/initializers/hotswap\.rb$})
    expect(said).to include("bin/hotswap cp primary backup.sqlite3", "bin/hotswap cp new.sqlite3 primary")
    expect(binstub).to be_executable
  end

  it "changes nothing when it is run again" do
    expect(app.rails("generate", "hotswap:install")).to match(%r{identical +bin/hotswap$}).and match(%r{identical +config/initializers/hotswap\.rb$})
  end

  describe "config/initializers/hotswap.rb" do
    def initializer = app.root.join("config/initializers/hotswap.rb")

    def settings = Hotswap::Configuration.public_instance_methods(false).grep(/\w=\z/) - %i[root= logger=]

    it "changes nothing by default" do
      expect(initializer.read.lines.grep_v(/\A\s*(#|$)/).join).to eq "Rails.application.configure do\nend\n"
    end

    it "lists every setting" do
      settings.each { |setting| expect(initializer.read).to match(/^  # config\.hotswap\.#{setting.to_s.delete_suffix("=")} = /) }
    end

    it "lists every hook" do
      expect(initializer.read).to include("# Hotswap.before_swap {", "# Hotswap.after_swap {", "# Hotswap.on_disconnect {", "# Hotswap.logger = ")
    end

    it "shows the defaults, in lines that work when uncommented" do
      before = initializer.read
      initializer.write(before.gsub(/^( *)# (?=(config|Hotswap)\.[\w.]+ (=|\{))/, '\1'))
      told = app.evaluate("[Hotswap.configuration.max_pause, Hotswap.configuration.timeout, Hotswap.socket_path, " \
        "Hotswap.stderr_socket_path, Hotswap.databases.map(&:path), Hotswap.logger.equal?(Rails.logger)]")
      defaults = Hotswap::Configuration.new.tap { |configuration| configuration.root = app.root.to_s }

      expect(told).to eq [
        defaults.max_pause, defaults.timeout, defaults.absolute_socket_path, defaults.absolute_stderr_socket_path,
        %w[storage/production.sqlite3 storage/production_queue.sqlite3].map { |path| app.root.join(path).to_s }, false
      ]
    ensure
      initializer.write(before)
    end
  end

  # Rubocop's cops for Rails applications want these, and look at what a generator made.
  it "follows the style of Rails' own templates" do
    [binstub, app.root.join("config/initializers/hotswap.rb")].each do |file|
      expect(file.read).not_to match(/(?<=[\s,])\[(?![\s\]])/)
      expect(file.read).not_to match(/^ *# (config|Hotswap)\..*\n *# [A-Z]/)
    end
  end

  describe "bin/hotswap" do
    let(:gems) { GemFolder.new(app.root.join("gems")) }

    # A bundle that cannot be loaded, so any attempt fails.
    before do
      app.write("Gemfile", "source \"https://rubygems.org\"\ngem \"hotswap\"\ngem \"not-installed-anywhere\"\n")
      app.write("Gemfile.lock", <<~LOCK)
        GEM
          remote: https://rubygems.org/
          specs:
            hotswap (#{Hotswap::VERSION})
              sqlite3 (>= 1.7)
            not-installed-anywhere (1.0)

        PLATFORMS
          ruby

        DEPENDENCIES
          hotswap
          not-installed-anywhere
      LOCK
    end

    after { %w[gems Gemfile Gemfile.lock].each { |name| app.root.join(name).then { |path| FileUtils.rm_rf(path) } } }

    it "starts without loading the bundle, from the gems of RubyGems" do
      gems.add_hotswap

      expect(hotswap("version", env: {"GEM_HOME" => gems.path.to_s}))
        .to have_attributes(exit_code: 0, stdout: "hotswap #{Hotswap::VERSION}\n", stderr: "")
    end

    it "starts without loading the bundle, from Bundler's path" do
      where = app.root.join("gems")
      GemFolder.new(where.join("ruby", RbConfig::CONFIG["ruby_version"])).add_hotswap

      expect(hotswap("version", env: {"BUNDLE_PATH" => where.to_s}))
        .to have_attributes(exit_code: 0, stdout: "hotswap #{Hotswap::VERSION}\n", stderr: "")
    end

    it "starts the version in Gemfile.lock, even if others are installed" do
      gems.add_hotswap
      gems.add_other_hotswap("99.0")
      env = {"GEM_HOME" => gems.path.to_s}

      expect(hotswap("version", env: env).stdout).to eq "hotswap #{Hotswap::VERSION}\n"
      lock = app.root.join("Gemfile.lock")
      lock.write(lock.read.sub("hotswap (#{Hotswap::VERSION})", "hotswap (99.0-x86_64-linux)"))
      expect(hotswap("version", env: env).stdout).to eq "the other hotswap, 99.0\n"
    end

    it "starts without RubyGems, wherever gems usually are" do
      usual = File.join("ruby", RbConfig::CONFIG["ruby_version"])
      GemFolder.new(app.root.join("vendor/bundle", usual)).add_other_hotswap(Hotswap::VERSION)
      said = hotswap("version").stdout
      FileUtils.rm_r(app.root.join("vendor/bundle"))
      gems.add_other_hotswap(Hotswap::VERSION)
      nowhere = app.root.join("nothing").to_s
      places = [
        {"GEM_HOME" => gems.path.to_s},
        {"GEM_HOME" => nowhere, "GEM_PATH" => "#{nowhere}:#{gems.path}"}
      ]

      expect([said, *places.map { |env| hotswap("version", env: env).stdout }]).to all eq "the other hotswap, #{Hotswap::VERSION}\n"
    end

    it "reads the lock file of BUNDLE_GEMFILE" do
      gems.add_hotswap
      gems.add_other_hotswap("99.0")
      app.write("gems/gems.rb", app.root.join("Gemfile").read)
      app.write("gems/gems.locked", app.root.join("Gemfile.lock").read.sub("hotswap (#{Hotswap::VERSION})", "hotswap (99.0)"))

      expect(hotswap("version", env: {"GEM_HOME" => gems.path.to_s, "BUNDLE_GEMFILE" => app.root.join("gems/gems.rb").to_s}).stdout)
        .to eq "the other hotswap, 99.0\n"
    end

    it "uses Bundler for a gem from a path or from git" do
      bundle = Project.bundled_environment.select { |name, _| name.start_with?("BUNDLE_") }

      expect(hotswap("version", env: bundle)).to have_attributes(exit_code: 0, stdout: "hotswap #{Hotswap::VERSION}\n")
    end

    it "finds its application from any folder" do
      gems.add_hotswap
      failed = hotswap("cp", "a", "b", env: {"GEM_HOME" => gems.path.to_s}, chdir: "/")

      expect(failed).to have_attributes(exit_code: 1)
      expect(failed.stderr).to include("ERROR: socket not found at #{app.root.join("tmp/sockets/hotswap.sock")}")
    end

    it "names the Ruby that lacks the gem, and says what to do" do
      failed = hotswap("version", env: {"GEM_HOME" => app.root.join("nothing").to_s, "GEM_PATH" => app.root.join("nothing").to_s})

      expect(failed).to have_attributes(exit_code: 1, stdout: "")
      expect(failed.stderr).to match(/\AERROR: hotswap \d[\d.]* is not installed for \S*ruby\S*, which is Ruby [\d.]+\n.*PATH.*bundle install\n\z/)
      without_gemfile = hotswap("version", env: {"BUNDLE_GEMFILE" => app.root.join("nothing").to_s})
      expect(without_gemfile).to have_attributes(exit_code: 1, stdout: "", stderr: /\AERROR: hotswap is not installed for \S*ruby/)
    end
  end
end
