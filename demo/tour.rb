# frozen_string_literal: true

require "shellwords"
require "tmpdir"
require_relative "site"
require_relative "visitors"
require_relative "tour/database_file"
require_relative "tour/jobs"
require_relative "tour/terminal"
require_relative "tour/promises"

# bin/demo: a site with three Puma workers and a job process, under a steady load. The tour pulls its database,
# replaces it, attacks it with a broken file, and replaces it again. It replaces only some tables, while visitors write to
# the others, and pulls a redacted copy. Then it compares what visitors and jobs saw with hotswap's promises.
class Tour
  class Stopped < StandardError; end

  ROOT = File.expand_path("..", __dir__)
  LIVE = "storage/production.sqlite3"
  # How long visitors come and go between two operations.
  INTERLUDE = 1.5

  def initialize(keep:)
    @keep = keep
    @terminal = Terminal.new
    @pushes = []
  end

  # Returns true if every promise was kept.
  def run
    in_a_folder do |folder|
      open_site(folder)
      let_visitors_in
      pull_a_snapshot
      make_it_new
      push_it_back
      push_a_broken_file
      pull_and_push_through_pipes
      push_only_the_content
      pull_a_redacted_copy
      send_visitors_home
      tell_what_they_saw
      kept = tell_which_promises_held
      keep_open if @keep
      kept
    end
  rescue Stopped, Site::Failed => error
    @terminal.promise(false, error.message)
    false
  end

  private

  def in_a_folder
    FileUtils.mkdir_p(File.join(ROOT, "tmp"))
    Dir.mktmpdir("demo-", File.join(ROOT, "tmp")) do |folder|
      yield folder
    ensure
      @visitors&.dismiss
      @jobs&.stop
      @site&.stop
    end
  end

  def open_site(folder)
    workers = ENV.fetch("WEB_CONCURRENCY", "3")
    @terminal.title("A Rails application in production mode")
    @site = Site.new(folder, "WEB_CONCURRENCY" => workers)
    @terminal.command("bin/rails db:prepare")
    @site.prepare
    @terminal.command("bundle exec puma -C config/puma.rb")
    @site.boot
    @site.get("/")
    @terminal.answer("Rails #{gem_version("rails")}, Puma #{gem_version("puma")} with " \
      "#{(workers == "0") ? "one process" : "#{workers} workers"}, sqlite3 #{gem_version("sqlite3")} " \
      "on SQLite #{sqlite_version}; #{live.megabytes}")
    @terminal.answer("#{@site.url} serves #{@site.get("/version")}")
    @terminal.command("bin/jobs")
    @jobs = Jobs.new(@site)
    @terminal.answer("jobs run in their own process, with #{Gem.loaded_specs["solid_queue"]&.full_name || "the demo's own queue"}")
  end

  def let_visitors_in
    @visitors = Visitors.spawn(port: @site.port, gets_per_second: 100, posts_per_second: 50)
    @jobs.come_in
    @terminal.note("From now on 100 reads, 50 writes and #{Jobs::PER_SECOND} jobs a second come in; each job writes as well.")
    interlude
  end

  def pull_a_snapshot
    @terminal.title("Pull a snapshot of the live database")
    @snapshot_began = Visitors.now
    succeed("bin/hotswap cp #{LIVE} snapshot.sqlite3")
    @terminal.note("#{file("snapshot.sqlite3").megabytes}, consistent, while visitors wrote.")
  end

  def make_it_new
    @terminal.title("Change it")
    change("snapshot.sqlite3", "v2")
  end

  def push_it_back
    @terminal.title("Push it back under load")
    push("bin/hotswap cp snapshot.sqlite3 #{LIVE}", "v2")
    interlude
  end

  def push_a_broken_file
    @terminal.title("Push a broken file: an upload that was cut off")
    succeed("head -c 1000000 snapshot.sqlite3 > broken.sqlite3")
    @refusal = execute("bin/hotswap cp broken.sqlite3 #{LIVE}")
    @terminal.answer("exit status #{@refusal}")
    interlude
  end

  def pull_and_push_through_pipes
    @terminal.title("The same through pipes, as over ssh")
    @backup_began = Visitors.now
    succeed("bin/hotswap cp #{LIVE} - > backup.sqlite3")
    change("backup.sqlite3", "v3")
    push("cat backup.sqlite3 | bin/hotswap cp - #{LIVE}", "v3")
    interlude
  end

  def push_only_the_content
    @terminal.title("Replace the content, and keep what visitors write")
    succeed("bin/hotswap cp #{LIVE} content.sqlite3 --only posts,releases")
    change("content.sqlite3", "v4", "UPDATE posts SET title = 'Rewritten in v4' WHERE id % 100 = 0;")
    @terminal.note("Visitors write meanwhile, and this time the push keeps it.")
    interlude
    push("bin/hotswap cp content.sqlite3 #{LIVE} --only posts,releases", "v4")
    interlude
  end

  def pull_a_redacted_copy
    @terminal.title("Pull a copy for a developer, without names")
    succeed("grep redact config/application.rb")
    succeed("bin/hotswap cp #{LIVE} dev.sqlite3 --redacted")
    @terminal.answer("users in it: #{file("dev.sqlite3").names.first(3).join(", ")}, …")
  end

  def send_visitors_home
    @report = @visitors.finish
    @jobs.finish
  end

  def tell_what_they_saw
    @terminal.title("What visitors saw in #{@report.seconds.round(1)} s")
    @terminal.fact("requests", "#{@report.count} (#{@report.count_of("get")} reads, #{@report.count_of("post")} writes)")
    @terminal.fact("jobs", @jobs.report.count)
    @terminal.fact("errors", @report.failures.size)
    @terminal.fact("held by swaps", held_by_swaps)
    @terminal.fact("answer times", %w[50 99].map { |p| "p#{p} #{milliseconds(@report.latency(p.to_i))}" }.join(", ") +
      ", slowest #{milliseconds(@report.max_latency)}")
    @terminal.fact("longest silence", milliseconds(@report.longest_gap))
    @terminal.fact("data version", "#{@terminal.strip(steps(0.2))}  (one mark is 0.2 s, | both)")
    @terminal.note("#{(@report.tokens - live.tokens).size} of the writes came between a pull and the next push " \
      "of the whole database: the push replaced them, as it should.")
  end

  # For each push, according to the application's log.
  def held_by_swaps
    log = File.read(File.join(@site.folder, "log/production.log"))
    log.scan(/\[hotswap\] push complete: .*, requests held for ([\d.]+ m?s)/).flatten.join(", ")
  end

  def tell_which_promises_held
    first, second, content = @pushes
    promises = Promises.new(@report, @jobs)
    promises.no_visitor_saw_an_error
    promises.the_site_kept_answering
    promises.new_data_after(first, second.began)
    promises.new_data_after(second, content.began)
    promises.new_data_after(content, nil)
    promises.refused(@refusal)
    promises.each_job_ran_once
    promises.nothing_lost(..@snapshot_began, file("snapshot.sqlite3"), "writes before the snapshot are in it")
    promises.nothing_lost(first.ok..@backup_began, file("backup.sqlite3"),
      "writes after the first push are in the backup")
    promises.nothing_lost(second.ok.., live,
      "writes before, during and after the push of some tables are in the live database")
    promises.without_names(file("dev.sqlite3"))
    promises.sound(live)
    promises.tidy(live)

    @terminal.title("What hotswap promises")
    promises.each { |kept, text| @terminal.promise(kept, text) }
    promises.kept?
  end

  def keep_open
    @terminal.title("Still running at #{@site.url} (Ctrl-C stops it)")
    @terminal.command("cd #{@site.folder.shellescape}")
    @terminal.command("export BUNDLE_GEMFILE=#{ENV["BUNDLE_GEMFILE"].shellescape}") unless ENV["BUNDLE_GEMFILE"] == File.join(ROOT, "Gemfile")
    @terminal.command("bin/hotswap cp #{LIVE} mine.sqlite3")
    @terminal.command(%(sqlite3 mine.sqlite3 "INSERT INTO releases (version) VALUES ('mine')"))
    @terminal.command("bin/hotswap cp mine.sqlite3 #{LIVE}")
    @terminal.command("curl #{@site.url("/version")}")
    @terminal.command("tail -f log/production.log")
    @terminal.note("the dashboard: #{@site.url("/hotswap")} (user demo, password hotswap)")
    sleep 0.2 until @site.gone?
    raise Stopped, "Puma has ended\n#{@site.last_words}"
  rescue Interrupt
    @terminal.note("closing")
  end

  def push(command, version)
    began = Visitors.now
    succeed(command)
    @pushes << Promises::Push.new(version, began, Visitors.now)
    @terminal.answer("GET /version  #{@site.get("/version")}")
  end

  def succeed(command)
    status = execute(command)
    raise Stopped, "#{command} ended with #{status}\n#{@site.last_words}" unless status.zero?
  end

  def execute(command)
    @terminal.command(command)
    began = Visitors.now
    status = @site.shell(command) { |line| @terminal.answer(line) }
    @terminal.note("#{(Visitors.now - began).round(2)} s") if command.include?("hotswap")
    status.exitstatus || 128 + status.termsig
  end

  def change(name, version, statement = "UPDATE items SET note = 'as in #{version}' WHERE id = 1;")
    statements = ["INSERT INTO releases (version) VALUES ('#{version}');", statement]
    @terminal.sql(name, statements)
    file(name).run(statements)
  end

  def steps(length)
    answers = @report.timeline(length).to_h
    Array.new((@report.seconds / length).floor) { |n| answers.fetch(n * length, {}).keys }
  end

  def interlude = sleep(INTERLUDE)

  def file(name) = DatabaseFile.new(File.join(@site.folder, name))

  def live = file(LIVE)

  def milliseconds(seconds) = "#{(seconds * 1000).round(1)} ms"

  def gem_version(name) = Gem.loaded_specs.fetch(name).version

  def sqlite_version
    database = SQLite3::Database.new(":memory:")
    database.get_first_value("SELECT sqlite_version()")
  ensure
    database.close
  end
end

if $PROGRAM_NAME == __FILE__
  begin
    exit Tour.new(keep: ARGV == ["--keep"]).run
  rescue Interrupt
    exit 130
  end
end
