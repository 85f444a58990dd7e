# frozen_string_literal: true

Rails.application.routes.draw do
  root "home#show"

  resource :version, only: :show
  resources :items, only: [:show, :create]
  resources :jobs, only: :create
  resources :posts, only: [:index, :show]

  get "slow", to: "slow#show"
  get "slow_query", to: "slow#query"
  get "stream", to: "slow#stream"
  get "live", to: "live#show"

  # An application with accounts would ask them instead (docs/dashboard.md).
  if defined?(Hotswap)
    mount Rack::Auth::Basic.new(Hotswap::Dashboard) { |user, password| [user, password] == %w[demo hotswap] } => "/hotswap"
  end

  scope "benchmarking", controller: "benchmarking" do
    %w[
      read_heavy write_heavy balanced
      post_create comment_create post_destroy comment_destroy
      post_show posts_index user_show
    ].each { |action| post action }
  end
end
