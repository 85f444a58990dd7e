//! The gate of one database, for databases that match a pattern.
//!
//! A unit enters it when it first uses a connection of the database, and leaves it at its end. So a swap of this
//! database waits only for the units that have used it. hotswap sees every use that goes through Active Record. It
//! cannot see who waits for a thread that is in no unit, and who uses a connection that was opened without Active
//! Record. So any such use makes the next swap close the gate of the process, as for all other databases.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::gate::{Gate, Pass, Signals};
use crate::sys::event::Event;

/// The gate of one database in this process.
#[derive(Debug)]
pub struct DatabaseGate {
    gate: Gate,
    database: PathBuf,
    used_unseen: AtomicBool,
    maybe_unused: AtomicBool,
    abandoned: AtomicBool,
}

/// The answer to a unit that wants to enter.
#[derive(Debug)]
pub enum Entry {
    /// The unit is inside, for as long as it holds the pass.
    Entered(Pass),
    /// The gate is closed. The unit has to wait for [`DatabaseGate::open_signal`].
    Closed,
    /// This process has left the fleet. The next thread that opens the database joins again, and gets another gate.
    Abandoned,
}

impl DatabaseGate {
    pub(super) fn new(database: &Path, signals: Arc<Signals>) -> Self {
        Self {
            gate: Gate::with(signals),
            database: database.to_owned(),
            used_unseen: AtomicBool::new(false),
            maybe_unused: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        }
    }

    /// The resolved path of the database when this process joined its fleet.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// Enters, unless the gate is closing or sealed. `while_closing` is for what a unit inside may be waiting for: only
    /// a sealed gate refuses that.
    pub fn enter(&self, while_closing: bool) -> Entry {
        let pass = match while_closing {
            true => self.gate.enter_while_closing(),
            false => self.gate.enter(),
        };
        match pass {
            // Set while the gate is sealed, so a unit that is inside sees it.
            Some(pass) if self.abandoned.load(Ordering::Acquire) => {
                self.gate.leave(&pass);
                Entry::Abandoned
            }
            Some(pass) => Entry::Entered(pass),
            None => Entry::Closed,
        }
    }

    /// Gives a pass back.
    pub fn leave(&self, pass: &Pass) {
        self.gate.leave(pass);
    }

    /// Notes a use that does not show who waits for it. The caller is inside.
    pub fn note_unseen_use(&self) {
        self.used_unseen.store(true, Ordering::Release);
    }

    /// Notes that a connection to the database or a pool of it was closed, perhaps the last one.
    pub fn note_close(&self) {
        self.maybe_unused.store(true, Ordering::Release);
    }

    /// The signal that is set while no gate of a database is closed.
    pub fn open_signal(&self) -> &Event {
        self.gate.open_signal()
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether a swap that closes only this gate could miss a unit.
    pub(super) fn was_used_unseen(&self) -> bool {
        self.used_unseen.load(Ordering::Acquire)
    }

    /// All connections are closed, and the gate is sealed.
    pub(super) fn forget_uses(&self) {
        self.used_unseen.store(false, Ordering::Release);
    }

    /// Whether a connection was closed since the last call.
    pub(super) fn take_note_of_close(&self) -> bool {
        self.maybe_unused.swap(false, Ordering::AcqRel)
    }

    /// The process has left the fleet. The gate is sealed.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> DatabaseGate {
        let signals = Arc::new(Signals::new().unwrap());
        DatabaseGate::new(Path::new("/live.sqlite3"), signals)
    }

    #[test]
    fn a_sealed_gate_refuses_everyone_and_a_closing_one_admits_what_units_inside_wait_for() {
        let gate = gate();
        let Entry::Entered(unit) = gate.enter(false) else {
            panic!("it is open")
        };
        assert!(gate.gate().close());
        assert!(matches!(gate.enter(false), Entry::Closed));
        let Entry::Entered(needed) = gate.enter(true) else {
            panic!("it is not sealed")
        };
        gate.leave(&needed);
        gate.leave(&unit);
        assert!(gate.gate().seal(std::time::Instant::now()));
        assert!(matches!(gate.enter(true), Entry::Closed));
    }

    #[test]
    fn an_abandoned_gate_has_no_one_inside() {
        let gate = gate();
        gate.gate().close();
        assert!(gate.gate().seal(std::time::Instant::now()));
        gate.abandon();
        gate.gate().reopen();
        assert!(matches!(gate.enter(false), Entry::Abandoned));
        assert_eq!(gate.gate().inside(), 0);
    }
}
