# frozen_string_literal: true

module Hotswap
  # A process is a member of a database's fleet from its first connection to the database until it ends. It leaves the
  # fleet of a database of a pattern as soon as it has no connection to it and no pool for one.
  class Membership
    def initialize
      @complained = {}
      @objected = {}
    end

    # Opens a connection to the database, inside the gate and as a member.
    # @param objection [String, nil] why the database must not be copied from now on, until this process ends
    # @param seen [Boolean] whether every use of the connection will call {Gate.use}
    # @yieldparam gate [Gate::OfDatabase, nil] the gate of the database, if it has one
    def opening(database, objection: nil, seen: false)
      unit = Gate.unit_here
      Gate.open("opening #{database.label}") do |own|
        gate = enter(database, unit, own)
        # The thread that opens a connection while hotswap closes others uses it only for that.
        gate&.try_use_unseen if own || (unit && (!seen || unit.only_a_thread?))
        object(database, objection) if objection
        yield gate
      end
    end

    # Becomes a member without opening a connection. If after_swap is to run after every swap, at least one process
    # has to be a member before the first query.
    def join_all
      Hotswap.databases.each { |database| opening(database) {} if !database.objection && File.exist?(database.resolved_path) }
    end

    private

    # Joins, and enters the gate of the database. The process may leave the fleet in between.
    # @param unit [Gate::Unit, nil] the unit that the caller is part of
    # @param own [Gate::Unit, nil] the unit of this opening
    # @return [Gate::OfDatabase, nil]
    def enter(database, unit, own)
      inside = unit || own
      loop do
        gate = join(database)
        return gate if gate.nil? || !inside&.inside? || inside.use(gate, while_closing: unit.nil?)
      end
    end

    # Waits while another process swaps the database. The connection then opens the new file.
    # @return [Gate::OfDatabase, nil] the gate of the database, if it has one
    def join(database)
      since = Gate.now
      path = database.path
      until (joined = Native.join(path, database.matched?))
        raise GateTimeout, "gave up waiting for the swap of #{database.label}: it takes longer than any swap may take" if Gate.now - since > Gate.longest_wait

        sleep 0.002
      end
      Hotswap.runtime.host.ensure_running
      Hotswap.runtime.server.continue_after_fork
      joined if joined.is_a?(Gate::OfDatabase)
    rescue GateTimeout
      raise
    rescue Error => error
      complain(database, error)
      nil
    end

    # Makes commands refuse the database for as long as this process lives. A forked child has to object itself.
    def object(database, objection)
      Native.object(database.resolved_path)
      return if @objected[database]

      @objected[database] = true
      Log.warn("hotswap cannot copy #{database.label} until this process ends, because the process opened it with #{objection}")
    end

    # The application goes on without hotswap. A push finds that this process has the file open, as it would with
    # any other program.
    def complain(database, error)
      return if @complained[database]

      @complained[database] = true
      Log.warn("hotswap cannot replace #{database.label} while this process has it open: #{error.message}")
    end
  end
end
