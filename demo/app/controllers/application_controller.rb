# frozen_string_literal: true

class ApplicationController < ActionController::Base
  # There are no sessions here to protect: visitors are load generators and curl.
  skip_forgery_protection

  private

  def provenance
    {version: Release.current, pid: Process.pid}
  end

  def seconds = params.fetch(:t, 1).to_f.clamp(0, 600)
end
