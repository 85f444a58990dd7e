# frozen_string_literal: true

class ItemsController < ApplicationController
  def show
    render json: Item.find(params[:id]).as_json.merge(provenance)
  end

  # One statement writes and reads the version, so the answer names the very database that took the item. With
  # Rails 7.2 a transaction of several would make threads wait for each other inside SQLite, the interpreter held.
  WRITTEN = "id, token, (SELECT version FROM releases ORDER BY id DESC LIMIT 1) AS version"

  def create
    item = {name: params.fetch(:name, "visitor"), note: params[:note], token: params.require(:token)}
    written = Item.insert!(item, returning: Arel.sql(WRITTEN)).to_a.first
    render json: {pid: Process.pid}.merge(written), status: :created
  rescue ActiveRecord::RecordNotUnique
    render json: {error: "token was used before"}, status: :conflict
  end
end
