# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "the leader", :fleet, lane: "default" do
  def puma_config(app, text)
    app.write("config/puma.rb", "#{app.root.join("config/puma.rb").read}\n#{text}\n")
  end

  {
    "a cluster that does not preload" => "",
    "fork_worker" => "fork_worker 0"
  }.each do |name, config|
    it "is succeeded by another process if it is killed, with #{name}" do
      app = boot_app(workers: 3, preload: false) { |server| puma_config(server, config) }
      eventually(20) { worker_pids(app).size == 3 }
      expect_all_on(app, "v1", processes: 3)
      generations = Generations.new(app)

      3.times do
        dead = eventually(20) { leader_pid(app) }
        expect(worker_pids(app)).to include(dead)
        Process.kill(:KILL, dead)
        eventually(20) { leader_pid(app) && leader_pid(app) != dead }
        swap_sooner_or_later(generations)
        eventually(20) { worker_pids(app).size == 3 }
      end

      expect_all_on(app, generations.live, processes: 3)
    end
  end

  it "may leave a forked child behind, and its successor still serves" do
    app = boot_app(workers: 2, preload: false) do |server|
      server.write("config/initializers/forks.rb", <<~RUBY)
        class ForksController < ActionController::Base
          skip_forgery_protection
          def create
            render plain: fork { sleep }.to_s
          end
        end
        Rails.application.config.after_initialize { Rails.application.routes.append { post "forks", to: "forks#create" } }
      RUBY
    end
    leader = eventually { leader_pid(app) }
    children = []
    eventually { parent_of(children.push(app.post("/forks").body.to_i).last) == leader }

    Process.kill(:KILL, leader)
    eventually(20) { leader_pid(app) && leader_pid(app) != leader }
    swap_sooner_or_later(Generations.new(app))
    expect(app.log).not_to include("hotswap is not available")
  ensure
    children&.each { |child| Process.kill(:KILL, child) }
  end

  def parent_of(pid) = File.read("/proc/#{pid}/stat").rpartition(")").last.split[1].to_i

  it "keeps its sockets when a forked child ends" do
    app = boot_app do |server|
      server.write("config/initializers/forks.rb", <<~RUBY)
        class ForksController < ActionController::Base
          skip_forgery_protection
          def create
            child = fork do
              at_exit { File.write("tmp/child-ended", Item.count.to_s) }
            end
            Process.wait(child)
            render plain: $?.exitstatus.to_s
          end
        end
        Rails.application.config.after_initialize { Rails.application.routes.append { post "forks", to: "forks#create" } }
      RUBY
    end
    sockets = [app.socket_path, app.stderr_socket_path]
    before = sockets.map { |path| File.stat(path).ino }

    3.times { expect(app.post("/forks").body).to eq "0" }

    expect(app.root.join("tmp/child-ended").read.to_i).to be > 0
    expect(sockets.map { |path| File.stat(path).ino }).to eq before
    swap_sooner_or_later(Generations.new(app))
  end
end
