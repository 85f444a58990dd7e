# frozen_string_literal: true

module Hotswap
  # The base class of everything that hotswap raises. Each class has a code that does not change between versions.
  class Error < StandardError
    # @return [Symbol]
    def code
      :error
    end
  end

  # No server answers at the socket. Exit status 1.
  class ServerNotFound < Error
    def code
      :server_not_found
    end
  end

  # The arguments of a command are wrong. Exit status 2.
  class UsageError < Error
    def code
      :usage
    end
  end

  # hotswap has checked the file or the request, and refuses it. Nothing changed. Exit status 3.
  class Refused < Error
    def code
      :refused
    end
  end

  # A process or a disk did not release the database in time. Nothing changed. Exit status 4.
  class Busy < Error
    def code
      :busy
    end
  end

  # A disk, a process or a connection failed. The database is whole, old or new, unless the message says otherwise.
  # Exit status 5.
  class Failed < Error
    def code
      :failed
    end
  end

  # The database no longer has the content that `if_match` names. Nothing changed. Exit status 6.
  class Changed < Error
    def code
      :changed
    end
  end

  # The probe failed after the swap, and the previous version is back. Exit status 7.
  class RolledBack < Error
    def code
      :rolled_back
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
