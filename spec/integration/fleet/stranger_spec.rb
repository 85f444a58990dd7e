# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "a connection from outside the fleet", :fleet, lane: "default" do
  include Untouched

  let(:settings) { "Rails.application.config.hotswap.timeout = 2; Rails.application.config.hotswap.max_pause = 0.3" }
  let(:app) { boot_app(workers: 2, initializer: settings) }
  let(:generations) { Generations.new(app) }

  # A process without the gem, which says when it is where the spec wants it.
  def stranger(code)
    program = AppProgram.new(app, RbConfig.ruby, "--disable-gems", *sqlite3_paths, "-e", <<~RUBY)
      require "sqlite3"
      path = #{app.database_path.dump}
      #{code}
      puts "there"
      $stdout.flush
      $stdin.read
    RUBY
    program.wait_for("there")
    program
  end

  def sqlite3_paths
    Gem.loaded_specs.fetch("sqlite3").full_require_paths.flat_map { |path| ["-I", path] }
  end

  def expect_refused_because_of(process)
    refused = nil
    verdict = visited(app, generations) { refused = generations.push("--in-place=never", version: "never") }

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to include("process #{process.pid} (", "ruby")
    expect(refused).not_to be_moved
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8
    expect_nothing_left(app)
  end

  before { expect_all_on(app, "v1", processes: 2) }

  {
    "that has read and is idle" => 'db = SQLite3::Database.new(path); db.execute("SELECT count(*) FROM items")',
    "that has opened the file but never read it" => "db = SQLite3::Database.new(path)",
    "in a read transaction" => 'db = SQLite3::Database.new(path); db.execute("BEGIN"); db.execute("SELECT count(*) FROM items")',
    "that takes the file for immutable" =>
      'db = SQLite3::Database.new("file:" + path + "?immutable=1", readonly: true, uri: true); db.execute("SELECT count(*) FROM items")',
    "that has the file open without SQLite" => "file = File.open(path)"
  }.each do |what, code|
    it "blocks a rename, by pid and command: one #{what}", :alone, :linux do
      swap(generations, 1)
      process = stranger(code)

      expect_refused_because_of(process)

      process.finish
      swap(generations, 1)
      expect_all_on(app, generations.live, processes: 2)
    end
  end

  it "blocks a rename if it holds the write lock" do
    process = stranger('db = SQLite3::Database.new(path); db.execute("BEGIN IMMEDIATE")')
    refused = generations.push(version: "never")

    expect(refused.result).to have_attributes(exit_code: 4, stdout: "")
    expect(refused.result.stderr).to match(HotswapCommand.named(process.pid))
    process.finish
    swap(generations, 1)
  end

  it "blocks a rename if the application opened it itself, until a block closes it", :alone do
    code = <<~RUBY
      RAW = SQLite3::Database.new("storage/production.sqlite3")
      $stdout.sync = true
      RAW.execute("SELECT count(*) FROM items")
      puts "open"
      $stdout.flush
      Thread.new { loop { sleep } }
      while (line = $stdin.gets)
        Hotswap.on_disconnect { |database| puts("closing"); RAW.close unless RAW.closed? } if line == "register\\n"
        puts "done"
        $stdout.flush
      end
    RUBY
    app.write("raw.rb", "class ApplicationRecord; end\n#{code}")
    raw = AppProgram.new(app, *Project::RUBY, "-r", "./config/environment", "raw.rb")
    raw.wait_for("open")

    refused = nil
    verdict = visited(app, generations) { refused = generations.push(version: "never") }
    expect(refused.result).to have_attributes(exit_code: 4)
    expect(refused.result.stderr).to include("process #{raw.pid}", "opened with SQLite3::Database.new", "Hotswap.on_disconnect")
    expect(verdict.broken).to eq []
    expect(verdict.longest_wait).to be < 0.8

    raw.say("register")
    raw.wait_for("done")
    swap(generations, 1)
    expect(raw.output).to include("closing")
  end
end
