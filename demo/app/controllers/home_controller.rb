# frozen_string_literal: true

class HomeController < ApplicationController
  # Reads once from each of the four databases, so that a process that has shown this page has all of them open.
  def show
    @version = Release.current
    @counts = [User, Post, Comment, Item, QueuedJob, CachedEntry, ReportedError].to_h do |model|
      [model.model_name.human.pluralize, model.count]
    end
  end
end
