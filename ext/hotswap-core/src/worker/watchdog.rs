//! A thread that ends the worker where the worker cannot do that itself, for it waits for a disk.
//!
//! It watches two stretches of the way. In a push that is the exclusive phase: while a worker keeps the fence, every
//! member is closed. What it leaves is the old database, untouched. Past the commit point it never acts. In a pull it
//! is the copy, during which the worker keeps the database from pushes, and without a log from everybody who writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::leftovers;
use super::letting_go::LettingGo;
use crate::error::{Context, Error, Result};

const ARMED: u8 = 0;
const DISARMED: u8 = 1;
const FIRED: u8 = 2;

/// How often it looks.
const GLANCE: Duration = Duration::from_millis(10);
/// How long a disk may take for one step of a copy, which is at most 2 MB.
const STANDSTILL: Duration = Duration::from_secs(10);
/// How long the end of a worker may be held up by the removal of its staged file.
const HASTE: Duration = Duration::from_millis(50);

/// See the module. Dropping it disarms it, or never returns.
#[derive(Debug)]
pub struct Watchdog(Arc<AtomicU8>);

impl Watchdog {
    /// Watches the exclusive phase of a push into `database` (resolved): `bound` after `closed_at` the process tells
    /// `caller` so and ends, and the staged file with it.
    pub fn of_pause(
        closed_at: Instant,
        bound: Duration,
        database: &Path,
        staged: &Path,
        caller: &Caller,
    ) -> Result<Self> {
        Self::until(closed_at + bound, too_slow(bound), database, staged, caller)
    }

    /// A watchdog for the end of a push, which a slow disk may delay: at `deadline`, it tells `caller` `why` the push ended as
    /// busy, and ends the process.
    pub fn until(
        deadline: Instant,
        why: String,
        database: &Path,
        staged: &Path,
        caller: &Caller,
    ) -> Result<Self> {
        let late = move || (Instant::now() >= deadline).then(|| Error::Busy(why.clone()));
        Self::start(database, Some(staged.to_owned()), caller, late)
    }

    /// Watches a copy out of `database` (resolved) into the file that the user calls `target`: the process ends when
    /// the client has gone, or when the copy stands still while the database is held for it.
    pub fn of_copy(database: &Path, target: &str, caller: &Caller) -> Result<(Self, Steps)> {
        let steps = Steps(Arc::new(Mutex::new(Some(Instant::now()))));
        let (taken, presence, target) = (steps.clone(), caller.presence(), target.to_owned());
        let hopeless = move || match presence() {
            false => Some(Error::Gone("the client went away".into())),
            true => taken.stands_still().then(|| stands_still(&target)),
        };
        Ok((Self::start(database, None, caller, hopeless)?, steps))
    }

    fn start(
        database: &Path,
        staged: Option<PathBuf>,
        caller: &Caller,
        hopeless: impl Fn() -> Option<Error> + Send + 'static,
    ) -> Result<Self> {
        let last_words = caller.last_words()?;
        let database = LettingGo::of(database);
        let state = Arc::new(AtomicU8::new(ARMED));
        let watched = state.clone();
        let watch = move || loop {
            std::thread::sleep(GLANCE);
            if watched.load(Ordering::Acquire) != ARMED {
                return;
            }
            let Some(why) = hopeless() else { continue };
            let fires = watched.compare_exchange(ARMED, FIRED, Ordering::AcqRel, Ordering::Acquire);
            if fires.is_ok() {
                staged.as_deref().into_iter().for_each(remove);
                last_words(why);
                database.now();
                // SAFETY: ends the process at once, without exit handlers that would close SQLite's files.
                unsafe { libc::_exit(1) }
            }
            return;
        };
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(watch)
            .context("cannot start the watchdog")?;
        Ok(Self(state))
    }

    /// The last look before the commit point: from here on the watchdog does nothing.
    pub fn commit(self) {}
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let disarmed = self
            .0
            .compare_exchange(ARMED, DISARMED, Ordering::AcqRel, Ordering::Acquire);
        if disarmed == Err(FIRED) {
            // It has had the last word: the process is ending, and must neither get any further nor say anything else.
            loop {
                std::thread::park();
            }
        }
    }
}

/// The steps of a copy, as far as the database is held for it.
#[derive(Clone, Debug)]
pub struct Steps(Arc<Mutex<Option<Instant>>>);

impl Steps {
    /// One more was taken.
    pub fn taken(&self) {
        self.set(Some(Instant::now()));
    }

    /// The database is not held any more: what is left may take its time.
    pub fn are_done(&self) {
        self.set(None);
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    fn stands_still(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() >= STANDSTILL)
    }
}

/// The disk that does not answer may be the one of this file. What stays is swept by the next push.
fn remove(staged: &Path) {
    let (removed, wait) = channel::<()>();
    let staged = staged.to_owned();
    let started = std::thread::Builder::new().spawn(move || {
        leftovers::remove_staged(&staged);
        drop(removed);
    });
    if started.is_ok() {
        // Done, or not in time.
        let _ = wait.recv_timeout(HASTE);
    }
}

fn too_slow(bound: Duration) -> String {
    format!(
        "requests would have had to wait for longer than {:.1} s, because the disk did not answer in time; nothing was \
         changed. Copy again when it is less busy, or raise config.hotswap.max_pause",
        bound.as_secs_f64()
    )
}

fn stands_still(target: &str) -> Error {
    Error::Broken(format!(
        "the copy to {target} stood still for {} s, because its disk does not answer. The worker gave up and let the \
         database go, so that the application goes on. Copy to another disk, or again when this one answers",
        STANDSTILL.as_secs()
    ))
}
