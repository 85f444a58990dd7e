//! The membership in the fleet behind one fence.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::database_gate::DatabaseGate;
use super::patience::Patience;
use crate::error::{Error, Result};
use crate::fence::{Fence, Lock, Phase, Tried};
use crate::sys::file_watch::Watch;
use crate::visible::Shown;

/// A membership. It lasts as long as this process has the fence open, even if no path leads to it any more.
pub(crate) struct Membership {
    pub fence: Fence,
    /// `None` if a swap closes the gate of the process.
    pub gate: Option<Arc<DatabaseGate>>,
    pub generation: AtomicU64,
    pub answered: AtomicU64,
    pub owes_straggler_lock: AtomicBool,
    /// The report socket of the worker for which the application is ready: it has one name for each worker.
    pub prepared_for: AtomicU64,
    objects: AtomicBool,
    /// Whether the watcher has asked the kernel to report posts.
    pub watched: AtomicBool,
    /// What the kernel gave for it.
    pub watch: Mutex<Option<Watch>>,
    names: Mutex<Names>,
}

/// The paths that lead to the database.
struct Names {
    /// The resolved path.
    database: PathBuf,
    /// The paths that the application uses. A symbolic link in them may lead elsewhere later.
    paths: Vec<PathBuf>,
    /// Paths that used to lead here and now lead to another fence. Connections that were opened through them may
    /// still be here.
    lost: Vec<PathBuf>,
}

/// How often a process looks for a fence that is in its place.
const TRIES: u32 = 3;

impl Membership {
    /// Takes the locks on the fence of `database` (its resolved path). Returns `None` if a swap is under way.
    pub(super) fn take(
        database: &Path,
        gate: Option<Arc<DatabaseGate>>,
        patience: &mut Patience,
    ) -> Result<Option<Self>> {
        let mut fence = Fence::open(database)?;
        let board = fence.board();
        let got = |fence: &Fence, lock| match fence.try_shared(lock) {
            Tried::Got => Ok(true),
            Tried::Held => Ok(false),
            Tried::Impossible(errno) => Err(Error::io(
                format!("cannot lock the lock file of {}", database.shown()),
                errno,
            )),
        };
        let mut tries = 0;
        loop {
            if !got(&fence, Lock::Fence)? {
                // There may be no other member left to bound the worker's time.
                patience.kill_if_overdue(&fence, &board);
                return Ok(None);
            }
            tries += 1;
            if tries == TRIES || fence.is_in_place() {
                break;
            }
            // A failed push may have removed the fence before this process had a lock on it.
            fence = Fence::open(database)?;
        }
        // A worker that was stopped while the gates are closed may keep this lock for good. The lock decides nothing
        // here: a newcomer joins without it, closes when the worker asks, and takes the lock later.
        let owes_straggler_lock = !got(&fence, Lock::Straggler)?;
        let board = fence.board();
        if board.phase == Phase::Moving {
            fence.finish_what_a_dead_worker_began(board.max_pause);
        }
        Ok(Some(Self {
            generation: AtomicU64::new(board.generation),
            answered: AtomicU64::new(0),
            prepared_for: AtomicU64::new(0),
            owes_straggler_lock: AtomicBool::new(owes_straggler_lock),
            objects: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            watch: Mutex::new(None),
            names: Mutex::new(Names {
                database: database.to_owned(),
                paths: Vec::new(),
                lost: Vec::new(),
            }),
            gate,
            fence,
        }))
    }

    /// Makes every worker at this fence refuse, for as long as the process lives. Returns whether it could.
    pub(super) fn object(&self) -> bool {
        self.objects.store(true, Ordering::Relaxed);
        self.fence.try_shared(Lock::Objection).got()
    }

    /// Whether the process has asked to object.
    pub(super) fn objects(&self) -> bool {
        self.objects.load(Ordering::Relaxed)
    }

    /// The resolved path of the database.
    pub(super) fn database(&self) -> PathBuf {
        self.names().database.clone()
    }

    /// The paths that the application uses for the database.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.names().paths.clone()
    }

    /// Notes that `path` leads here, through `database`. Returns whether that is new.
    pub(super) fn is_found_by(&self, path: &Path, database: &Path) -> bool {
        let mut names = self.names();
        if names.database != database {
            names.database = database.to_owned();
        }
        if names.paths.iter().any(|known| known == path) {
            return false;
        }
        names.lost.retain(|lost| lost != path);
        names.paths.push(path.to_owned());
        true
    }

    /// Notes that `path` leads elsewhere now. Returns whether it led here.
    pub(super) fn is_lost_to(&self, path: &Path) -> bool {
        let mut names = self.names();
        let before = names.paths.len();
        names.paths.retain(|known| known != path);
        let led_here = names.paths.len() < before;
        if led_here {
            names.lost.push(path.to_owned());
        }
        led_here
    }

    /// Whether every path that ever led here now leads to `one`.
    pub(super) fn was_replaced_by(&self, one: &Self) -> bool {
        let (here, there) = (self.names(), one.names());
        here.paths.is_empty() && here.lost.iter().all(|path| there.paths.contains(path))
    }

    /// Whether this is another database than that of `one`, and no path of `one` ever led here.
    pub(super) fn is_unrelated_to(&self, one: &Self) -> bool {
        let (here, there) = (self.names(), one.names());
        let shared = here.lost.iter().any(|path| there.paths.contains(path));
        !shared && here.database != there.database
    }

    /// Whether a path that led here now leads elsewhere.
    pub(super) fn has_lost_a_path(&self) -> bool {
        !self.names().lost.is_empty()
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Board;
    use nix::sys::signal::{kill, Signal};
    use nix::sys::wait::waitpid;
    use nix::unistd::{fork, pause, ForkResult, Pid};
    use std::time::{Duration, Instant};

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
        Membership::take(database, None, &mut Patience::default()).unwrap()
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
        while Membership::take(&database, None, &mut patience)
            .unwrap()
            .is_none()
        {
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
        patience.kill_if_overdue(&fence, &earlier);
        std::thread::sleep(2 * max_pause);
        let attempt = earlier.attempt + 1;
        let asks_for_more = Board {
            max_pause: 100 * max_pause,
            ..earlier
        };
        for later in [Board { attempt, ..earlier }, asks_for_more] {
            fence.post(&later).unwrap();
            // As read before the stop.
            patience.kill_if_overdue(&fence, &earlier);
        }
        // A signal takes a moment.
        std::thread::sleep(max_pause);
        assert_eq!(fence.exclusive_holder(Lock::Fence), Some(worker.0.as_raw()));
    }
}
