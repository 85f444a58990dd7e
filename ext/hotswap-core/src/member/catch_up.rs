//! Databases whose schema has changed while this process was outside their fleets.
//!
//! Active Record's classes still have the old columns, and units of all tenants use these classes. So the process
//! forgets the schema while no unit is inside its gate, as in a push. It has to wait for the unit that has opened the
//! database: that unit is inside, and may hold locks of the application that other units wait for. So this unit may
//! still use the old columns.
//!
//! The classes outlive the membership: the process may leave the fleet again before it could forget the schema. So
//! this list belongs to the process and not to a membership.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hold::Hold;
use super::host::Host;
use super::outdated::CatchingUp;
use crate::gate::Gate;

/// How long one attempt waits for the units inside, with the gate open. Meanwhile the watcher answers no board.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the gate stays open between two attempts.
const BREATH: Duration = Duration::from_millis(60);
/// After this time, the process forgets the schema although units are inside. A unit that uses a class at that instant
/// may get an error. That is unlikely, and otherwise all units would go on with the old columns.
const LONGEST: Duration = Duration::from_secs(10);

/// The databases whose schema the process has to forget, if there are any.
#[derive(Debug, Default)]
pub(super) struct CatchUp(Mutex<Option<Pending>>);

#[derive(Debug)]
struct Pending {
    databases: Vec<CatchingUp>,
    since: Instant,
    next_attempt: Instant,
    /// How long an attempt may hold requests.
    max_pause: Duration,
}

impl CatchUp {
    /// The schema of a database that the process knows is out of date.
    pub(super) fn begin(&self, database: CatchingUp, max_pause: Duration) {
        let now = Instant::now();
        let mut pending = self.pending();
        let pending = pending.get_or_insert_with(|| Pending {
            databases: Vec::new(),
            since: now,
            next_attempt: now,
            max_pause,
        });
        pending
            .databases
            .retain(|one| one.database() != database.database());
        pending.databases.push(database);
    }

    /// A swap of `database` makes the process forget its schema.
    pub(super) fn end(&self, database: &Path) {
        let mut pending = self.pending();
        if let Some(some) = pending.as_mut() {
            some.databases.retain(|one| one.database() != database);
            if some.databases.is_empty() {
                *pending = None;
            }
        }
    }

    /// How long the watcher may wait before it tries, if there is something to do.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let next = self.pending().as_ref().map(|pending| pending.next_attempt)?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Makes the application forget the schemas, if it is due. Holds requests for up to `max_pause`. If units keep
    /// `process`, the gate of the process, from being sealed, the next attempt comes later.
    pub(super) fn attempt(&self, process: &Gate, host: &dyn Host) {
        if self.due_in() != Some(Duration::ZERO) {
            return;
        }
        let begun = Instant::now();
        let settled = process.settle(|| begun.elapsed() < SETTLE);
        let closed_at = Instant::now();
        let mut hold = Hold::new(process, None);
        let Some((since, max_pause)) = self.pending().as_ref().map(|one| (one.since, one.max_pause)) else {
            return;
        };
        let alone = settled && hold.take(true, closed_at + max_pause).is_ok();
        if !alone && since.elapsed() <= LONGEST {
            drop(hold);
            if let Some(pending) = self.pending().as_mut() {
                pending.next_attempt = Instant::now() + BREATH;
            }
            return;
        }
        // First empties the list: a database that is added meanwhile may have changed after the application forgot
        // its schema.
        let databases = self.pending().take().map_or_else(Vec::new, |one| one.databases);
        databases.iter().for_each(|one| host.refresh(one.database()));
        hold.release();
        let held = closed_at.elapsed();
        databases.into_iter().for_each(|one| host.swapped(one, held));
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
