//! The time for which requests wait.

use std::time::{Duration, Instant};

use super::reason::Why;
use crate::error::{Busy, Result};
use crate::worker::command::Command;

/// One pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    /// When the gates began to close.
    pub closed_at: Instant,
    /// How long the worker has asked the members to wait.
    pub bound: Duration,
}

impl Pause {
    /// Fails if the client has gone, or if the time is almost over. `part` is the part of the work that is done.
    pub(super) fn go_on(self, part: f64, why: &Why, command: &Command) -> Result<()> {
        command.client.check_presence()?;
        if self.closed_at.elapsed() < self.bound.mul_f64(0.9) {
            return Ok(());
        }
        Err(Busy::SlowWrite {
            why: why.to_string(),
            max_pause: self.bound,
            percent: part * 100.0,
            way_out: why.way_out(),
        }
        .into())
    }
}
