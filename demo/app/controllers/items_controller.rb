# frozen_string_literal: true

class ItemsController < ApplicationController
  def show
    render json: Item.find(params[:id]).as_json.merge(provenance)
  end

  # The version is read in the transaction that writes, so the answer names the very database that took the item.
  def create
    answer = Item.transaction do
      item = Item.create!(name: params.fetch(:name, "visitor"), note: params[:note], token: params.require(:token))
      {id: item.id, token: item.token}.merge(provenance)
    end
    render json: answer, status: :created
  rescue ActiveRecord::RecordNotUnique
    render json: {error: "token was used before"}, status: :conflict
  end
end
