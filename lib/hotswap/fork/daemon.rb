# frozen_string_literal: true

module Hotswap
  # `rails server --daemon` boots the application and then forks. The threads stay behind in the process that ends.
  module Daemon
    def daemon(...)
      super.tap { Hotswap.runtime.server.continue_after_fork }
    end

    Process.singleton_class.prepend(self)
  end
end
