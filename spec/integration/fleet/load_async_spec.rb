# frozen_string_literal: true

require_relative "support/fleet"

RSpec.describe "load_async", :fleet, lane: "default" do
  # A page of queries that run in threads of Active Record's own, one of which the request does not wait for.
  code = <<~RUBY
    Rails.application.config.active_record.async_query_executor = :global_thread_pool
    Rails.application.config.hotswap.timeout = 5

    Rails.application.config.to_prepare do
      next if defined?(AsyncController)

      class ::AsyncController < ApplicationController
        def show
          releases = Release.order(id: :desc).limit(1).load_async
          items = Item.where(id: 1..5).order(:id).load_async
          Comment.where("body LIKE '%snapshot%'").limit(50).load_async
          sleep 0.002
          raise "wrong answers" unless items.map(&:name) == %w[item-1 item-2 item-3 item-4 item-5]
          raise "a request that moved" unless releases.first.version == Release.current

          render json: {version: releases.first.version, pid: Process.pid}
        end
      end

      ASYNC = Hash.new(0)
      ActiveSupport::Notifications.subscribe("sql.active_record") { |*, payload| ASYNC[payload[:async] ? :async : :own] += 1 }
      AsyncController.define_method(:count) { render json: ASYNC }
    end
    Rails.application.config.after_initialize do
      Rails.application.routes.append { get "async", to: "async#show"; get "async/count", to: "async#count" }
    end
  RUBY

  it "returns correct rows during swaps, new rows after them, and does not block them" do
    app = boot_app(workers: 2, initializer: code)
    expect_all_on(app, "v1", processes: 2)
    generations = Generations.new(app)

    verdict = visited(app, generations, gets: 80, get_path: "/async") { swap(generations, 6) }

    expect(verdict.broken).to eq []
    expect(app.get("/async/count").json.fetch("async")).to be > 20
    expect_all_on(app, generations.live, processes: 2)
    expect_nothing_left(app)
  end
end
