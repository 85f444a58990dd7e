//! A thread that ends the worker when the worker cannot end itself because it waits for a disk.
//!
//! In a push it watches the exclusive phase: while a worker keeps the fence, every member is closed. If it ends the
//! worker, the old database is untouched. Past the commit point it never acts. In a pull it watches the copy:
//! meanwhile the worker keeps pushes away from the database, and in rollback mode every writer, too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Busy, Context, Error, Failed, Gone, Result};
use crate::leftovers;
use crate::sys::exit::exit_now;
use crate::worker::command::Command;
use crate::worker::descriptors::LockedFiles;

const ARMED: u8 = 0;
const DISARMED: u8 = 1;
const FIRED: u8 = 2;

/// How often the thread checks.
const GLANCE: Duration = Duration::from_millis(10);
/// How long the disk may take for one step of a copy, which is at most 2 MB.
const STANDSTILL: Duration = Duration::from_secs(10);
/// How long the removal of the staged file may delay the end of the worker.
const HASTE: Duration = Duration::from_millis(50);

/// A running watchdog. Dropping it disarms it. If it has already fired, the drop never returns.
#[derive(Debug)]
pub(crate) struct Watchdog(Arc<AtomicU8>);

impl Watchdog {
    /// Watches the exclusive phase of a push. When `bound` has passed since `closed_at`, it tells the client, removes
    /// the `staged` file, and ends the process.
    pub(crate) fn of_pause(
        closed_at: Instant,
        bound: Duration,
        staged: &Path,
        command: &Command,
    ) -> Result<Self> {
        let late = move || Busy::DiskDoesNotAnswer { max_pause: bound };
        Self::until(closed_at + bound, late, staged, command)
    }

    /// Watches the end of a push, which a slow disk may delay. At `deadline` it tells the client `why` the push ended
    /// as busy, and ends the process.
    pub(crate) fn until(
        deadline: Instant,
        why: impl Fn() -> Busy + Send + 'static,
        staged: &Path,
        command: &Command,
    ) -> Result<Self> {
        let late = move || (Instant::now() >= deadline).then(|| why().into());
        Self::start(Some(staged.to_owned()), command, late)
    }

    /// Watches a copy out of the database into the file that the user calls `target`. It ends the process
    /// if the client has gone, or if the copy makes no progress while the worker still holds the database.
    pub(crate) fn of_copy(target: &str, command: &Command) -> Result<(Self, Steps)> {
        let steps = Steps(Arc::new(Mutex::new(Some(Instant::now()))));
        let (taken, presence, target) = (steps.clone(), command.client.presence(), target.to_owned());
        let hopeless = move || match presence() {
            false => Some(Gone::Client.into()),
            true => taken.stands_still().then(|| stands_still(&target)),
        };
        Ok((Self::start(None, command, hopeless)?, steps))
    }

    fn start(
        staged: Option<PathBuf>,
        command: &Command,
        hopeless: impl Fn() -> Option<Error> + Send + 'static,
    ) -> Result<Self> {
        let last_words = command.client.last_words()?;
        let database = LockedFiles::of(&command.path);
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
                exit_now(1)
            }
            return;
        };
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(watch)
            .context("cannot start the watchdog")?;
        Ok(Self(state))
    }

    /// Disarms the watchdog right before the commit point. From here on it does nothing.
    pub(crate) fn commit(self) {}
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let disarmed = self
            .0
            .compare_exchange(ARMED, DISARMED, Ordering::AcqRel, Ordering::Acquire);
        if disarmed == Err(FIRED) {
            // The watchdog has reported the end, and the process is about to end. This thread must not continue or
            // report anything else.
            loop {
                std::thread::park();
            }
        }
    }
}

/// The progress of a copy, while the database is held for it.
#[derive(Clone, Debug)]
pub(crate) struct Steps(Arc<Mutex<Option<Instant>>>);

impl Steps {
    /// Records a step.
    pub(crate) fn taken(&self) {
        self.set(Some(Instant::now()));
    }

    /// The database is no longer held, so the rest may take its time.
    pub(crate) fn are_done(&self) {
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

/// Removes the staged file in another thread, because the disk that does not answer may be the one of this file. The
/// next push sweeps what is left.
fn remove(staged: &Path) {
    let (removed, wait) = channel::<()>();
    let staged = staged.to_owned();
    let started = std::thread::Builder::new().spawn(move || {
        leftovers::remove_staged(&staged);
        drop(removed);
    });
    if started.is_ok() {
        // The file has been removed, or the time is over.
        let _ = wait.recv_timeout(HASTE);
    }
}

fn stands_still(target: &str) -> Error {
    Failed::TargetStandsStill {
        target: target.to_owned(),
        seconds: STANDSTILL.as_secs(),
    }
    .into()
}
