# frozen_string_literal: true

class VersionsController < ApplicationController
  def show
    render json: provenance.merge(at: Time.current)
  end
end
