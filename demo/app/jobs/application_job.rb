# frozen_string_literal: true

class ApplicationJob < ActiveJob::Base
  self.queue_adapter = PlainQueue.new unless defined?(SolidQueue)
end
