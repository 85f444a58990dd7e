# frozen_string_literal: true

class ItemsController < ApplicationController
  def show
    render json: Item.find(params[:id]).as_json.merge(provenance)
  end

  def create
    written = Item.write!({name: params.fetch(:name, "visitor"), note: params[:note], token: params.require(:token)})
    render json: {pid: Process.pid}.merge(written), status: :created
  rescue ActiveRecord::RecordNotUnique
    render json: {error: "token was used before"}, status: :conflict
  end
end
