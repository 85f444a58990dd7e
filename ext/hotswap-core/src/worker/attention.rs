//! Attention to whom a check is made for: it ends when they leave, or when it has taken too long.
//!
//! A hostile file can make one step of a check as long as it likes, in which SQLite asks nobody whether to go
//! on. So a thread of ours looks, interrupts, and, if even that is not heard, ends the process: what the worker
//! leaves is the running database, untouched.

use std::path::PathBuf;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::leftovers;
use crate::error::{Context, Result};

/// The longest a check may take. A gigabyte takes 3 s warm and 21 s from a cold disk.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long SQLite may take to hear that it is interrupted.
const HEARING: Duration = Duration::from_secs(5);
/// How often the thread looks.
const GLANCE: Duration = Duration::from_millis(50);

/// See the module. Dropping it ends it.
pub struct Attention {
    _alive: Sender<()>,
}

impl Attention {
    /// Pays it to what `connection` does, as long as `wanted` says so. `staged` goes with the process, if that has
    /// to end.
    pub fn pay(
        connection: &Connection,
        staged: PathBuf,
        wanted: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self> {
        let (alive, dropped) = channel::<()>();
        let interrupt = connection.get_interrupt_handle();
        let late = Instant::now() + PATIENCE;
        let look = move || {
            let mut interrupted: Option<Instant> = None;
            while dropped.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
                if wanted() && Instant::now() < late {
                    continue;
                }
                interrupt.interrupt();
                if interrupted.get_or_insert_with(Instant::now).elapsed() > HEARING {
                    leftovers::remove_staged(&staged);
                    // SAFETY: ends the process at once; what is left to do is for nobody.
                    unsafe { libc::_exit(1) }
                }
            }
        };
        std::thread::Builder::new()
            .name("attention".into())
            .spawn(look)
            .context("cannot start a thread")?;
        Ok(Self { _alive: alive })
    }
}
