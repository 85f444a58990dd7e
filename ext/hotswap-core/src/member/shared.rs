//! What the threads of the application and the watcher share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catch_up::CatchUp;
use super::fleets::{Fleets, Versions};
use super::host::Host;
use super::membership::Membership;
use super::outdated::Outdated;
use crate::error::{Context, Result};
use crate::gate::Gate;
use crate::sys::event::Event;

/// The state of this process as a member.
pub(super) struct Shared {
    pub gate: Arc<Gate>,
    pub host: Arc<dyn Host>,
    fleets: Mutex<Fleets>,
    pub catch_up: CatchUp,
    pub outdated: Outdated,
    /// Wakes the watcher: there is a new membership, or the watcher has to end.
    pub woken: Event,
    /// Whether the watcher has been started.
    pub watched: AtomicBool,
    /// Whether the watcher has to end.
    pub stopping: AtomicBool,
}

impl Shared {
    /// A member of no fleet yet. Fails only if the process is out of file descriptors.
    pub(super) fn new(gate: Arc<Gate>, host: Arc<dyn Host>, known: Versions) -> Result<Self> {
        Ok(Self {
            gate,
            host,
            fleets: Mutex::new(Fleets::new(known)),
            catch_up: CatchUp::default(),
            outdated: Outdated::default(),
            woken: Event::new().context("cannot make an eventfd")?,
            watched: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    pub(super) fn memberships(&self) -> Vec<Arc<Membership>> {
        self.fleets().memberships().to_vec()
    }

    pub(super) fn fleets(&self) -> MutexGuard<'_, Fleets> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
