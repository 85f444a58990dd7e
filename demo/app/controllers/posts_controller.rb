# frozen_string_literal: true

class PostsController < ApplicationController
  def index
    @posts = Post.includes(:user).order(id: :desc).limit(50)
  end

  def show
    @post = Post.includes(:user, comments: :user).find(params[:id])
  end
end
