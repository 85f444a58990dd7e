# frozen_string_literal: true

class JobsController < ApplicationController
  def create
    ItemJob.perform_later(params.require(:token))
    render json: provenance.merge(job: params[:token]), status: :created
  end
end
