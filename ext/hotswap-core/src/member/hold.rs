//! What this process holds back during a swap of one database: all of its units, or those that use the database.

use std::time::Instant;

use super::database_gate::DatabaseGate;
use crate::fence::report::Why;
use crate::gate::{Gate, Pass};

/// Gates that are closed until this is dropped.
pub(super) struct Hold<'a> {
    process: &'a Gate,
    database: Option<&'a DatabaseGate>,
    /// A swap of one database is work like any other, so a `SwapLock` waits for it.
    pass: Option<Pass>,
    closed: Vec<&'a Gate>,
}

impl<'a> Hold<'a> {
    /// Holds nothing yet.
    pub(super) fn new(process: &'a Gate, database: Option<&'a DatabaseGate>) -> Self {
        Self {
            process,
            database,
            pass: None,
            closed: Vec::new(),
        }
    }

    /// Closes the gates, and waits until no unit is inside that may use the database. With `everything`, closes the
    /// gate of the process in any case.
    pub(super) fn take(&mut self, everything: bool, deadline: Instant) -> Result<(), Why> {
        if let Some(database) = self.database.filter(|one| !everything && !one.was_used_unseen()) {
            self.pass = Some(self.process.enter().ok_or(Why::SwapLock)?);
            self.seal(database.gate(), deadline)?;
            // Only now can no such use begin.
            if !database.was_used_unseen() {
                return Ok(());
            }
            self.release();
        }
        // The gate of the process comes first: one of its units may be waiting at the other gate.
        self.seal(self.process, deadline)?;
        match self.database {
            Some(database) => self.seal(database.gate(), deadline),
            None => Ok(()),
        }
    }

    fn seal(&mut self, gate: &'a Gate, deadline: Instant) -> Result<(), Why> {
        if !gate.close() {
            return Err(Why::SwapLock);
        }
        self.closed.push(gate);
        match gate.seal(deadline) {
            true => Ok(()),
            false => Err(Why::OutlastsThePause),
        }
    }

    /// Opens the gates.
    pub(super) fn release(&mut self) {
        self.closed.drain(..).for_each(Gate::reopen);
        if let Some(pass) = self.pass.take() {
            self.process.leave(&pass);
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Signals;
    use crate::member::database_gate::Entry;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    fn gates() -> (Gate, DatabaseGate) {
        let signals = Arc::new(Signals::new().unwrap());
        let database = DatabaseGate::new(Path::new("/live.sqlite3"), signals);
        (Gate::new().unwrap(), database)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn units_that_do_not_use_the_database_stay_inside_and_enter() {
        let (process, database) = gates();
        let other = process.enter().unwrap();
        let mut hold = Hold::new(&process, Some(&database));
        assert!(hold.take(false, soon()).is_ok());
        assert!(process.enter().is_some());
        assert!(matches!(database.enter(true), Entry::Closed));
        hold.release();
        assert!(matches!(database.enter(false), Entry::Entered(_)));
        process.leave(&other);
    }

    #[test]
    fn a_unit_that_uses_the_database_is_waited_for() {
        let (process, database) = gates();
        let Entry::Entered(pass) = database.enter(false) else {
            panic!("it is open")
        };
        let mut hold = Hold::new(&process, Some(&database));
        assert!(matches!(hold.take(false, soon()), Err(Why::OutlastsThePause)));
        hold.release();
        database.leave(&pass);
        assert!(hold.take(false, soon()).is_ok());
    }

    #[test]
    fn a_use_that_hotswap_cannot_attribute_makes_it_wait_for_every_unit() {
        let (process, database) = gates();
        let other = process.enter().unwrap();
        database.note_unseen_use();
        let mut hold = Hold::new(&process, Some(&database));
        assert!(matches!(hold.take(false, soon()), Err(Why::OutlastsThePause)));
        assert!(process.is_closed());
        process.leave(&other);
        hold.release();
        assert!(hold.take(false, soon()).is_ok());
        assert!(process.is_closed());
        drop(hold);
        database.forget_uses();
        let mut hold = Hold::new(&process, Some(&database));
        assert!(hold.take(false, soon()).is_ok());
        assert!(!process.is_closed());
    }

    #[test]
    fn a_swap_lock_keeps_every_swap_out() {
        let (process, database) = gates();
        process.close();
        let mut hold = Hold::new(&process, Some(&database));
        assert!(matches!(hold.take(false, soon()), Err(Why::SwapLock)));
        assert!(matches!(hold.take(true, soon()), Err(Why::SwapLock)));
        drop(hold);
        assert!(process.is_closed(), "only its owner opens it");
    }
}
