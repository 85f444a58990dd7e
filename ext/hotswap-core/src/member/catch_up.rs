//! A process that has missed a change of the schema, because it was outside the fleet at that time.
//!
//! Active Record's classes still have the columns of before, and units of all tenants use these classes. So the process
//! forgets the schema while no unit is inside its gate, as in a push. It cannot do that before the unit that has opened
//! the database goes on: that unit is inside, and may hold locks of the application that other units wait for.

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
/// When units that do not end stop mattering. A class that is used while it forgets its columns may raise an error. That
/// is unlikely, and all units would go on with the old columns otherwise.
const LONGEST: Duration = Duration::from_secs(10);

/// Since when the process has to forget the schema, if it has to.
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

    /// A swap has forgotten the schema.
    pub(super) fn end(&self) {
        *self.since() = None;
    }

    /// How long the watcher may wait before it tries, if there is something to do.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let next = self.since().map(|since| since.next_attempt)?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Makes the application forget the schema. It is due. Holds requests for up to `max_pause`. While units keep
    /// `process`, the gate of the process, from being sealed, tries again later.
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

/// What forgets, and which schema.
pub(super) struct Forget<'a> {
    pub host: &'a dyn Host,
    pub database: &'a Path,
}
