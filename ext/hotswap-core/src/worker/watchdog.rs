//! The watchdog of the exclusive phase: while a worker keeps the fence, every member is closed.
//!
//! If the phase lasts too long before the commit point, the worker ends itself; what it leaves is the old
//! database, untouched. Past the commit point it never acts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::leftovers;
use crate::error::{Context, Result};

const ARMED: u8 = 0;
const COMMITTED: u8 = 1;
const FIRED: u8 = 2;

/// See the module. Dropping it disarms it.
#[derive(Debug)]
pub struct Watchdog(Arc<AtomicU8>);

impl Watchdog {
    /// Starts to watch: at `deadline` the process ends, and the staged file with it.
    pub fn arm(deadline: Instant, staged: PathBuf) -> Result<Self> {
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
                    // SAFETY: ends the process at once, without exit handlers that would close SQLite's files.
                    unsafe { libc::_exit(1) }
                }
            })
            .context("cannot start the watchdog")?;
        Ok(Self(state))
    }

    /// The last look before the commit point: from here on the watchdog does nothing.
    pub fn commit(self) {
        if self
            .0
            .compare_exchange(ARMED, COMMITTED, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // It has fired: the process is ending, and must not get any further.
            loop {
                std::thread::park();
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self
            .0
            .compare_exchange(ARMED, COMMITTED, Ordering::AcqRel, Ordering::Acquire);
    }
}
