//! A member: an application process that has a managed database open.
//!
//! A process becomes a member when it first opens a managed database, no matter how it was started, and stops being one
//! when it ends, or when it no longer keeps a database of a pattern. Membership is the shared lock on the
//! [fence](crate::fence). There is no other registration.
//!
//! One native [watcher](self::watcher) per process answers the worker's board. It never calls Ruby: it asks the
//! [`Host`] for what the application has to do itself.

mod catch_up;
mod database_gate;
mod declaration;
mod fleets;
mod hold;
mod host;
mod membership;
mod outdated;
mod patience;
mod shared;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::gate::Gate;

pub use crate::fence::report::Running;
pub use database_gate::{DatabaseGate, Entry};
pub use declaration::{astray, held, Astray};
pub use host::Host;
pub use outdated::CatchingUp;
pub use watcher::PATIENT as LOOKS_AGAIN_AFTER;

use fleets::Versions;
use outdated::Missed;
use shared::Shared;

/// A membership, for the code that opens the database.
pub struct Joined {
    /// The gate that a unit has to enter before it uses the database, if the gate of the process is not enough.
    pub gate: Option<Arc<DatabaseGate>>,
}

/// This process as a member of the fleets of its databases.
pub struct Member {
    shared: Arc<Shared>,
    inheritance: Mutex<Inheritance>,
}

/// A forked child inherits the caches of its parent's application. This says which versions of the databases they show.
#[derive(Clone, Debug, Default)]
pub struct Inheritance(Versions);

impl Member {
    /// A member of no fleet yet. The watcher starts with the first [`Member::join`].
    pub fn new(gate: Arc<Gate>, host: Arc<dyn Host>, inheritance: Inheritance) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared::new(gate, host, inheritance.0)?);
        let inheritance = Mutex::default();
        Ok(Arc::new(Self { shared, inheritance }))
    }

    /// Prepares what the child of a fork inherits. Runs in the thread that forks.
    pub fn before_fork(&self) {
        let versions = self.shared.fleets().versions(&self.shared.outdated);
        *self.inheritance.lock().unwrap_or_else(PoisonError::into_inner) = Inheritance(versions);
    }

    /// What a child inherits from its parent, whose member this was. Waits for no lock, because the thread that holds
    /// it may not exist in the child.
    pub fn inheritance(&self) -> Inheritance {
        self.inheritance
            .try_lock()
            .map(|one| one.clone())
            .unwrap_or_default()
    }

    /// The gate of this process.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.shared.gate
    }

    /// Joins the fleet of the database that `path` leads to now. Returns `None` if a swap is under way; then the caller
    /// has to try again.
    ///
    /// Must be called inside the gate, before the database is opened. It does not wait. If the process is already a
    /// member, this only checks that it holds the fence that is there now. With `own_gate`, a new membership gets a
    /// gate of its own, which the caller has to enter as well.
    pub fn join(&self, path: &Path, own_gate: bool) -> Result<Option<Joined>> {
        let mut fleets = self.shared.fleets();
        let before = fleets.memberships().len();
        let Some(one) = fleets.join(path, own_gate)? else {
            return Ok(None);
        };
        let joined = fleets.memberships().len() > before;
        let missed = match joined {
            true => fleets.missed(&one),
            false => Missed::Nothing,
        };
        let catching_up = match missed {
            Missed::Nothing => None,
            _ => Some(self.shared.outdated.add(one.database(), missed)),
        };
        let (gate, max_pause) = (one.gate.clone(), one.fence.board().max_pause);
        // Under the lock: the thread that leaves the fleet has to hold the only reference.
        drop(one);
        drop(fleets);
        match catching_up {
            Some(one) if missed == Missed::Schema => self.shared.catch_up.begin(one, max_pause),
            Some(one) => self.shared.host.swapped(one, Duration::ZERO),
            None => {}
        }
        if joined && !self.shared.watched.swap(true, Ordering::AcqRel) {
            watcher::start(self.shared.clone()).context("cannot start the watcher thread")?;
        }
        if joined {
            self.shared.woken.set();
        }
        Ok(Some(Joined { gate }))
    }

    /// Notes that a connection to the database behind `gate` was closed. If it was the last one, and the application
    /// does not keep the database, the process leaves the fleet.
    pub fn closed(&self, gate: &DatabaseGate) {
        gate.note_close();
        self.shared.woken.set();
    }

    /// Makes every worker refuse `database`, whose fleet this process has joined, for as long as the process lives.
    /// Returns whether it could.
    pub fn object(&self, database: &Path) -> bool {
        let memberships = self.shared.memberships();
        let mut memberships = memberships
            .iter()
            .filter(|one| one.database() == database)
            .peekable();
        memberships.peek().is_some() && memberships.all(|one| one.object())
    }

    /// The resolved paths of the databases whose fleets this process has joined.
    pub fn databases(&self) -> Vec<PathBuf> {
        let mut databases = Vec::new();
        for database in self.shared.memberships().iter().map(|one| one.database()) {
            if !databases.contains(&database) {
                databases.push(database);
            }
        }
        databases
    }

    /// How long a worker may hold this process up at a time, according to the boards of its databases and of those
    /// that it wants to join.
    pub fn longest_pause(&self) -> Duration {
        self.shared.fleets().longest_pause()
    }

    /// Ends the watcher. The locks stay until the process ends.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.woken.set();
    }
}
