//! A process that has missed a change of the schema, because it was outside the fleet at that time.
//!
//! Active Record's classes still have the old columns, and units of all tenants use these classes. So the process
//! forgets the schema while no unit is inside its gate, as in a push. It has to wait for the unit that has opened the
//! database: that unit is inside, and may hold locks of the application that other units wait for. So this unit may
//! still use the old columns.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::database_gate::DatabaseGate;
use super::hold::Hold;
use super::host::Host;
use crate::gate::Gate;

/// How long one attempt waits for the units inside, with the gate open. Meanwhile the watcher answers no board.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the gate stays open between two attempts.
const BREATH: Duration = Duration::from_millis(60);
/// After this time, the process forgets the schema although units are inside. A unit that uses a class at that instant
/// may get an error. That is unlikely, and otherwise all units would go on with the old columns.
const LONGEST: Duration = Duration::from_secs(10);

/// Whether the process has to forget the schema, and since when.
#[derive(Debug, Default)]
pub(super) struct CatchUp(Mutex<Option<Since>>);

#[derive(Clone, Copy, Debug)]
struct Since {
    joined: Instant,
    next_attempt: Instant,
}

impl CatchUp {
    /// The process has joined again, and its schema is out of date.
    pub(super) fn begin(&self) {
        let now = Instant::now();
        *self.since() = Some(Since {
            joined: now,
            next_attempt: now,
        });
    }

    /// The process has forgotten the schema in a swap.
    pub(super) fn end(&self) {
        *self.since() = None;
    }

    /// How long the watcher may wait before it tries, if there is something to do.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let next = self.since().map(|since| since.next_attempt)?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Makes the application forget the schema, if it is due. Holds requests for up to `max_pause`. If units keep
    /// `process`, the gate of the process, from being sealed, the next attempt comes later.
    pub(super) fn attempt(
        &self,
        process: &Gate,
        own: Option<&DatabaseGate>,
        max_pause: Duration,
        forget: Forget<'_>,
    ) {
        let Some(since) = *self.since() else {
            return;
        };
        let begun = Instant::now();
        let settled = process.settle(|| begun.elapsed() < SETTLE);
        let closed_at = Instant::now();
        let mut hold = Hold::new(process, own);
        let alone = settled && hold.take(true, closed_at + max_pause).is_ok();
        if alone || since.joined.elapsed() > LONGEST {
            forget.host.refresh(forget.database);
            self.end();
            hold.release();
            forget.host.swapped(forget.database, closed_at.elapsed());
            return;
        }
        drop(hold);
        if let Some(since) = self.since().as_mut() {
            since.next_attempt = Instant::now() + BREATH;
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<Since>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which application forgets the schema of which database.
pub(super) struct Forget<'a> {
    pub host: &'a dyn Host,
    pub database: &'a Path,
}
