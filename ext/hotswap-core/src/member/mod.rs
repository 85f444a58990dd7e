//! A member: an application process that has a managed database open.
//!
//! A process becomes a member when it first opens a managed database, no matter how it was started, and stops being
//! one when it ends. Membership is the shared lock on the [fence](crate::fence). There is no other registration.
//!
//! One native [watcher](self::watcher) per process answers the worker's board. It never calls Ruby: it asks the
//! [`Host`] for what the application has to do itself.

mod declaration;
mod fleets;
mod membership;
mod patience;
mod report;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use declaration::{astray, Astray};
pub use report::{Collector, Report, Running, Why};
pub use watcher::PATIENT as LOOKS_AGAIN_AFTER;

use fleets::Fleets;
use membership::Membership;

use crate::error::{Context, Result};
use crate::gate::Gate;
use crate::signal::Signal;

/// What a member asks of the application around it.
pub trait Host: Send + Sync {
    /// Closes every connection of the database, within `timeout`. The text of a refusal goes to the user.
    fn disconnect(&self, database: &Path, timeout: Duration) -> std::result::Result<(), String>;
    /// Forgets the cached schema of the database. Called with the fence lock held again.
    fn refresh(&self, database: &Path);
    /// Reports that the database has been replaced and that work goes on, after it was `held` up for that long. Must
    /// not wait.
    fn swapped(&self, database: &Path, held: Duration);
    /// The units that have been inside the gate for `age` or longer.
    fn running(&self, age: Duration) -> Vec<Running>;
}

/// This process as a member of the fleets of its databases.
pub struct Member {
    gate: Arc<Gate>,
    host: Arc<dyn Host>,
    fleets: Mutex<Fleets>,
    woken: Signal,
    stopping: AtomicBool,
}

impl Member {
    /// A member of no fleet yet. The watcher starts with the first [`Member::join`].
    pub fn new(gate: Arc<Gate>, host: Arc<dyn Host>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            gate,
            host,
            fleets: Mutex::new(Fleets::new()),
            woken: Signal::new().context("cannot make an eventfd")?,
            stopping: AtomicBool::new(false),
        }))
    }

    /// The gate of this process.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Joins the fleet of the database that `path` leads to now. Returns `false` if a swap is under way; then the
    /// caller has to try again.
    ///
    /// Must be called inside the gate, before the database is opened. It does not wait. If the process is already a
    /// member, this only checks that it holds the fence that is there now.
    pub fn join(self: &Arc<Self>, path: &Path) -> Result<bool> {
        let mut fleets = self.fleets();
        let before = fleets.memberships().len();
        if !fleets.join(path)? {
            return Ok(false);
        }
        let joined = fleets.memberships().len() > before;
        drop(fleets);
        if joined && before == 0 {
            watcher::start(self.clone()).context("cannot start the watcher thread")?;
        }
        if joined {
            self.woken.set();
        }
        Ok(true)
    }

    /// Makes every worker refuse `database`, whose fleet this process has joined, for as long as the process lives.
    /// Returns whether it could.
    pub fn object(&self, database: &Path) -> bool {
        let memberships = self.memberships();
        let mut memberships = memberships
            .iter()
            .filter(|one| one.database() == database)
            .peekable();
        memberships.peek().is_some() && memberships.all(|one| one.object())
    }

    /// The resolved paths of the databases whose fleets this process has joined.
    pub fn databases(&self) -> Vec<PathBuf> {
        let mut databases = Vec::new();
        for database in self.memberships().iter().map(|one| one.database()) {
            if !databases.contains(&database) {
                databases.push(database);
            }
        }
        databases
    }

    /// How long a worker may hold this process up at a time, according to the boards of its databases and of those
    /// that it wants to join.
    pub fn longest_pause(&self) -> Duration {
        self.fleets().longest_pause()
    }

    /// Ends the watcher. The locks stay until the process ends.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.woken.set();
    }

    fn memberships(&self) -> Vec<Arc<Membership>> {
        self.fleets().memberships().to_vec()
    }

    fn fleets(&self) -> MutexGuard<'_, Fleets> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
