# frozen_string_literal: true

require_relative "../integration/fleet/support/fleet"

# The demo application on servers that are built otherwise than Puma.
RSpec.describe "swaps under load, with", :fleet, :thorough, lane: "components" do
  def serve(command, **files)
    server = Class.new(AppServer) do
      define_method(:command) { command.map { |word| word.sub("PORT", port.to_s) } }
      private :command
    end
    keep(server.start { |app| files.each { |path, text| app.write(path.to_s, text) } })
  end

  def expect_swaps_to_hold(app, processes:)
    app.version
    generations = Generations.new(app)
    verdict = visited(app, generations) { swap(generations, 6) }

    expect(verdict.broken).to eq []
    expect(verdict.visits.filter_map(&:pid).uniq.size).to eq processes
    expect(app.version).to eq generations.live
    expect_nothing_left(app)
  end

  {
    "Falcon, a process for each processor" => [%w[--count 2], 2],
    "Falcon, threads in one process" => [%w[--threaded --count 2], 1],
    "Falcon, threads in processes" => [%w[--hybrid --forks 2 --threads 2], 2]
  }.each do |name, (options, processes)|
    it name do
      # Falcon's own part in Rails, as `Bundler.require` would bring it: each request has a fiber, and what it isolates.
      app = serve(["bundle", "exec", "falcon", "serve", "--bind", "http://127.0.0.1:PORT", *options],
        "config/initializers/falcon.rb": 'require "falcon"')
      expect_swaps_to_hold(app, processes: processes)

      expect(app.log).not_to match(/hotswap is not available|cannot be swapped/)
    end
  end

  [true, false].each do |preload|
    it "Unicorn, #{preload ? "preloading" : "not preloading"}" do
      app = serve(%w[bundle exec unicorn --config-file config/unicorn.rb --env production config.ru],
        "config/unicorn.rb": <<~RUBY)
          worker_processes 2
          preload_app #{preload}
          listen "127.0.0.1:\#{ENV.fetch("PORT")}"
        RUBY
      expect_swaps_to_hold(app, processes: 2)

      # Unicorn's way to end without cutting its workers off, and their exit handlers.
      app.process.signal(:QUIT)
      eventually { !app.process.alive? }
    end
  end
end
