# frozen_string_literal: true

# The load of the RailsConf 2024 SQLite workshop: one action each, and three mixes of them.
class BenchmarkingController < ApplicationController
  MIXES = {
    read_heavy: {
      post_create: 0.10, comment_create: 0.10, post_destroy: 0.02, comment_destroy: 0.03,
      post_show: 0.25, posts_index: 0.25, user_show: 0.25
    },
    write_heavy: {
      post_create: 0.25, comment_create: 0.25, post_destroy: 0.05, comment_destroy: 0.20,
      post_show: 0.05, posts_index: 0.15, user_show: 0.05
    },
    balanced: {
      post_create: 0.17, comment_create: 0.17, post_destroy: 0.05, comment_destroy: 0.11,
      post_show: 0.17, posts_index: 0.17, user_show: 0.16
    }
  }.freeze

  before_action :see_visitor

  MIXES.each do |name, weights|
    define_method(name) { send(weights.max_by { |_, weight| rand**(1.0 / weight) }.first) }
  end

  def post_create
    answer Post.create!(user: @visitor, title: "Post #{request.uuid}", body: request.user_agent), status: :created
  end

  def comment_create
    answer Comment.create!(user: @visitor, post: any(Post), body: "Comment #{request.uuid}"), status: :created
  rescue ActiveRecord::InvalidForeignKey
    retry # another visitor destroyed that post in between
  end

  def post_destroy
    answer any(Post).destroy!
  end

  def comment_destroy
    answer any(Comment).destroy!
  end

  def post_show
    answer any(Post), include: [:user, :comments]
  end

  def posts_index
    answer some(Post).includes(:user).limit(100), include: :user
  end

  def user_show
    answer @visitor, include: :posts
  end

  private

  def see_visitor
    @visitor = any(User)
    @visitor.update!(last_seen_at: Time.current)
  end

  def any(model)
    some(model).first || raise(ActiveRecord::RecordNotFound, "no #{model.model_name.plural} left")
  end

  def some(model)
    model.where(id: rand(0..model.maximum(:id).to_i)..).order(:id)
  end

  def answer(record, status: :ok, **options)
    render json: record.as_json(**options), status: status
  end
end
