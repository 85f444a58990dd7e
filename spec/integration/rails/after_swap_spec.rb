# frozen_string_literal: true

require_relative "../fleet/support/fleet"

RSpec.describe "fragments in Rails.cache", :fleet, lane: "default" do
  # The store of each process is its own, so that each has to be told.
  def boot(after_swap, **env)
    boot_app(workers: 2, env: env) do |server|
      settings = server.root.join("config/environments/production.rb")
      settings.write(settings.read.sub(/^end\s*\z/, "  config.cache_store = :memory_store\nend\n"))
      server.write("config/initializers/hotswap.rb", after_swap)
      server.write("app/views/fragments/show.html.erb", "<% cache @post do %><%= @post.title %><% end %>")
      server.write("app/controllers/fragments_controller.rb", <<~RUBY)
        class FragmentsController < ApplicationController
          layout false
          before_action { response.headers["x-pid"] = Process.pid.to_s }
          def show = @post = Post.find(params[:id])
        end
      RUBY
      server.write("config/routes.rb", server.root.join("config/routes.rb").read.sub(/^end\s*\z/, "  resources :fragments\nend\n"))
    end
  end

  # What each worker shows for the first post, whose updated_at never changes.
  def shown(app)
    answers = {}
    eventually(20) do
      answer = app.get("/fragments/1")
      expect(answer.status).to eq(200), app.log_tail(20)
      answers[answer.headers.fetch("x-pid").first] = answer.body.strip
      answers.size == 2
    end
    answers.values.uniq
  end

  def push(app, title)
    file = app.databases.changed("#{title}.sqlite3", version: title) { |db| db.execute("UPDATE posts SET title = ? WHERE id = 1", [title]) }
    expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0)
  end

  it "survive a swap, unless after_swap clears them in every process" do
    app = boot("")
    old = shown(app)
    push(app, "new")
    expect(shown(app)).to eq old

    app = boot("Hotswap.after_swap { |database| Rails.cache.clear if database.name == 'primary' }")
    expect(shown(app)).to eq old
    %w[first second].each do |title|
      push(app, title)
      eventually { expect(shown(app)).to eq [title] }
    end
  end

  it "can be rebuilt by blocks that query the new database; a block that fails is only logged" do
    app = boot(<<~RUBY, RUBYOPT: "-w")
      Hotswap.after_swap { |database| raise "the cache is away" }
      Hotswap.after_swap { |database| Rails.logger.info("after \#{database.label}: \#{Release.current} in \#{Process.pid}") }
    RUBY
    workers = eventually { worker_pids(app).then { |pids| pids if pids.size == 2 } }
    expect_all_on(app, "v1", processes: 2)
    3.times { |n| push(app, "release-#{n}") }

    eventually do
      workers.each { |pid| expect(app.log).to include("after storage/production.sqlite3: release-2 in #{pid}") }
    end
    expect(app.log.lines.grep(%r{/hotswap.*: warning:})).to eq []
    expect(app.log).to include("after_swap of storage/production.sqlite3 failed: the cache is away (RuntimeError)")
    expect(app.get("/version").json.fetch("version")).to eq "release-2"
  end

  it "are also cleared after a push in place" do
    app = boot_rack(<<~RUBY, threads: 1) { |server| TestDatabase.new(server.root).release("old", name: "app.sqlite3") }
      require "hotswap"
      Hotswap.register("app.sqlite3")
      Hotswap.after_swap { |database| File.write("log/told", "told of \#{database.label}\n", mode: "a") }
      Hotswap.start
      use Hotswap::Middleware
      run ->(_) { [200, {}, ["hello"]] }
    RUBY
    file = TestDatabase.new(app.root.join("files").tap(&:mkpath)).release("new")

    expect(app.hotswap("cp", file, "database")).to have_attributes(exit_code: 0)
    told = app.root.join("log/told")
    eventually { expect(told.exist? && told.read).to eq "told of app.sqlite3\n" }
    expect(app.hotswap("cp", file, "database", "--in-place=always")).to have_attributes(exit_code: 0)
    eventually { expect(told.read).to eq "told of app.sqlite3\n" * 2 }
  end
end
