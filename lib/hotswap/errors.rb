# frozen_string_literal: true

module Hotswap
  # The base class of everything that hotswap raises. Each class has a code that does not change between versions.
  class Error < StandardError
    # @return [Symbol]
    def code
      :error
    end
  end

  # Work waited at the gate for longer than any swap may take. The work did not run.
  class GateTimeout < Error
    def code
      :gate_timeout
    end
  end

  # A setting is invalid. The message names it.
  class ConfigurationError < Error
    def code
      :configuration
    end
  end

  # {Hotswap.release} was called where the caller cannot give its connections back. The block did not run.
  class ReleaseRefused < Error
    def code
      :release_refused
    end
  end

  # The connections of a database could not be closed, so it cannot be swapped now. The message follows the name of
  # the process: "process 4711 (bin/rails console) has a connection to …".
  class DisconnectRefused < Error
    def code
      :disconnect_refused
    end
  end
end
