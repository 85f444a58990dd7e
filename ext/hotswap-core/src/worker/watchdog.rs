//! The watchdog of the exclusive phase: while a worker keeps the fence, every member is closed.
//!
//! If the phase lasts too long before the commit point, as where the disk does not answer, the worker says so and ends
//! itself; what it leaves is the old database, untouched. Past the commit point it never acts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::leftovers;
use crate::error::{Context, Error, Result};

const ARMED: u8 = 0;
const DISARMED: u8 = 1;
const FIRED: u8 = 2;

/// See the module. Dropping it disarms it, or never returns.
#[derive(Debug)]
pub struct Watchdog(Arc<AtomicU8>);

impl Watchdog {
    /// Starts to watch: `bound` after `closed_at` the process tells `caller` so and ends, and the staged file with it.
    pub fn arm(closed_at: Instant, bound: Duration, staged: PathBuf, caller: &Caller) -> Result<Self> {
        let deadline = closed_at + bound;
        let last_words = caller.last_words(too_slow(bound))?;
        let state = Arc::new(AtomicU8::new(ARMED));
        let watched = state.clone();
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                while Instant::now() < deadline {
                    std::thread::sleep(
                        deadline
                            .saturating_duration_since(Instant::now())
                            .min(Duration::from_millis(20)),
                    );
                    if watched.load(Ordering::Acquire) != ARMED {
                        return;
                    }
                }
                if watched
                    .compare_exchange(ARMED, FIRED, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
                {
                    leftovers::remove_staged(&staged);
                    last_words();
                    // SAFETY: ends the process at once, without exit handlers that would close SQLite's files.
                    unsafe { libc::_exit(1) }
                }
            })
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

fn too_slow(bound: Duration) -> Error {
    Error::Busy(format!(
        "requests would have had to wait for longer than {:.1} s, because the disk did not answer in time; nothing was \
         changed. Copy again when it is less busy, or raise config.hotswap.max_pause",
        bound.as_secs_f64()
    ))
}
