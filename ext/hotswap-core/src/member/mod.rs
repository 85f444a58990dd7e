//! A member: an application process that has a managed database open.
//!
//! A process becomes one when it first opens a managed database, however it was started, and stops being one
//! when it ends. Membership is the shared lock on the [fence](crate::fence); nobody registers anywhere.
//!
//! One native [watcher](self::watcher) per process answers the worker's board. It never calls Ruby: what the
//! application has to do itself it asks of the [`Host`].

mod patience;
mod report;
mod watcher;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use report::{Collector, Report};

use patience::Patience;

use crate::error::{Context, Error, Result};
use crate::fence::{Fence, Lock, Phase, Tried};
use crate::gate::Gate;
use crate::signal::Signal;

/// What a member asks of the application around it.
pub trait Host: Send + Sync {
    /// Closes every connection of the database, within `timeout`. The text of a refusal goes to the user.
    fn disconnect(&self, database: &Path, timeout: Duration) -> std::result::Result<(), String>;
    /// Forgets what was remembered of the database's schema. Called with the fence lock held again.
    fn refresh(&self, database: &Path);
    /// The database has been replaced, and work goes on, after it was `held` back for so long. Must not wait.
    fn swapped(&self, database: &Path, held: Duration);
    /// What is running inside the gate: "GET /reports for 4.2 s".
    fn running(&self) -> Vec<String>;
}

/// This process as a member of the fleets of its databases.
pub struct Member {
    gate: Arc<Gate>,
    host: Arc<dyn Host>,
    memberships: Mutex<Vec<Arc<Membership>>>,
    /// With the workers that keep this process out of a fleet that it wants to join.
    patience: Mutex<HashMap<PathBuf, Patience>>,
    woken: Signal,
    stopping: AtomicBool,
}

/// The membership in the fleet of one database.
pub(crate) struct Membership {
    fence: Fence,
    generation: AtomicU64,
    answered: AtomicU64,
    owes_straggler_lock: AtomicBool,
}

impl Member {
    /// A member of no fleet yet. The watcher starts with the first [`Member::join`].
    pub fn new(gate: Arc<Gate>, host: Arc<dyn Host>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            gate,
            host,
            memberships: Mutex::new(Vec::new()),
            patience: Mutex::default(),
            woken: Signal::new().context("cannot make an eventfd")?,
            stopping: AtomicBool::new(false),
        }))
    }

    /// The gate of this process.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Joins the fleet of `database` (its resolved path), or says `false`: a swap is under way, ask again.
    ///
    /// Must be called inside the gate, before the database is opened. It does not wait, and costs a look at
    /// a list when the process is a member already.
    pub fn join(self: &Arc<Self>, database: &Path) -> Result<bool> {
        let mut memberships = self.memberships();
        if memberships.iter().any(|one| one.fence.database() == database) {
            return Ok(true);
        }
        let mut waiting = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = waiting.entry(database.to_owned()).or_default();
        let Some(membership) = Membership::take(database, patience)? else {
            return Ok(false);
        };
        waiting.remove(database);
        let first = memberships.is_empty();
        memberships.push(Arc::new(membership));
        drop(memberships);
        if first {
            watcher::start(self.clone()).context("cannot start the watcher thread")?;
        }
        self.woken.set();
        Ok(true)
    }

    /// Has every worker refuse `database`, whose fleet this process has joined, for as long as the process lives. Says whether it
    /// does.
    pub fn object(&self, database: &Path) -> bool {
        let memberships = self.memberships();
        let membership = memberships.iter().find(|one| one.fence.database() == database);
        membership.is_some_and(|one| one.fence.try_shared(Lock::Objection).got())
    }

    /// The resolved paths of the databases whose fleets this process has joined.
    pub fn databases(&self) -> Vec<PathBuf> {
        self.memberships()
            .iter()
            .map(|one| one.fence.database().to_owned())
            .collect()
    }

    /// Ends the watcher. The locks stay until the process ends.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.woken.set();
    }

    fn memberships(&self) -> MutexGuard<'_, Vec<Arc<Membership>>> {
        self.memberships.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    fn take(database: &Path, patience: &mut Patience) -> Result<Option<Self>> {
        let fence = Fence::open(database)?;
        let board = fence.board();
        let got = |lock| match fence.try_shared(lock) {
            Tried::Got => Ok(true),
            Tried::Held => Ok(false),
            Tried::Impossible(errno) => Err(Error::Io {
                what: format!("cannot lock the fence of {}", database.display()),
                source: errno.into(),
            }),
        };
        if !got(Lock::Fence)? {
            // No member may be left to do that.
            patience.bear(&fence, &board);
            return Ok(None);
        }
        // A worker that is stopped while the gates are closed may keep this one for good. It decides nothing:
        // a newcomer comes in without it, closes when it is asked to like everybody, and takes it later.
        let owes_straggler_lock = !got(Lock::Straggler)?;
        let board = fence.board();
        if board.phase == Phase::Moving {
            fence.finish_what_a_dead_worker_began(board.max_pause);
        }
        Ok(Some(Self {
            generation: AtomicU64::new(board.generation),
            answered: AtomicU64::new(0),
            owes_straggler_lock: AtomicBool::new(owes_straggler_lock),
            fence,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Board;
    use nix::sys::signal::{kill, Signal};
    use nix::sys::wait::waitpid;
    use nix::unistd::{fork, pause, ForkResult, Pid};
    use std::time::Instant;

    /// A worker that holds a lock exclusively and does nothing else, until it is dropped.
    struct StoppedWorker(Pid);

    impl StoppedWorker {
        fn with(lock: Lock, database: &Path) -> Self {
            let fence = Fence::open(database).unwrap();
            // SAFETY: the child makes system calls only, and never returns.
            let child = match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    fence.try_exclusive(lock);
                    loop {
                        pause();
                    }
                }
                ForkResult::Parent { child } => child,
            };
            while fence.exclusive_holder(lock) != Some(child.as_raw()) {
                std::thread::yield_now();
            }
            Self(child)
        }
    }

    impl Drop for StoppedWorker {
        fn drop(&mut self) {
            kill(self.0, Signal::SIGKILL).unwrap();
            waitpid(self.0, None).unwrap();
        }
    }

    fn take(database: &Path) -> Option<Membership> {
        Membership::take(database, &mut Patience::default()).unwrap()
    }

    #[test]
    fn a_newcomer_waits_for_the_fence_and_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");

        let moving = StoppedWorker::with(Lock::Fence, &database);
        assert!(take(&database).is_none());
        drop(moving);

        let closing = StoppedWorker::with(Lock::Straggler, &database);
        let newcomer = take(&database).unwrap();
        assert!(newcomer.owes_straggler_lock.load(Ordering::Relaxed));
        drop((newcomer, closing));

        let newcomer = take(&database).unwrap();
        assert!(!newcomer.owes_straggler_lock.load(Ordering::Relaxed));
    }

    #[test]
    fn a_newcomer_ends_a_worker_that_keeps_it_out_for_longer_than_any_may() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        let fence = Fence::open(&database).unwrap();
        let max_pause = Duration::from_millis(20);
        fence
            .post(&Board {
                max_pause,
                ..fence.board()
            })
            .unwrap();

        let _stopped = StoppedWorker::with(Lock::Fence, &database);
        let (mut patience, begun) = (Patience::default(), Instant::now());
        while Membership::take(&database, &mut patience).unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() > max_pause);
    }

    #[test]
    fn a_member_that_was_stopped_spares_the_worker_that_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        let fence = Fence::open(&database).unwrap();
        let max_pause = Duration::from_millis(20);
        let earlier = Board {
            max_pause,
            ..fence.board()
        };
        fence.post(&earlier).unwrap();

        let worker = StoppedWorker::with(Lock::Fence, &database);
        let mut patience = Patience::default();
        patience.bear(&fence, &earlier);
        std::thread::sleep(2 * max_pause);
        let attempt = earlier.attempt + 1;
        let asks_for_more = Board {
            max_pause: 100 * max_pause,
            ..earlier
        };
        for later in [Board { attempt, ..earlier }, asks_for_more] {
            fence.post(&later).unwrap();
            // As read before the stop.
            patience.bear(&fence, &earlier);
        }
        // A signal takes a moment.
        std::thread::sleep(max_pause);
        assert_eq!(fence.exclusive_holder(Lock::Fence), Some(worker.0.as_raw()));
    }
}
