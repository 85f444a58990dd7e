//! The locks of a pull, which it holds while it has the live database open.
//!
//! A pull takes part in the fleet through locks alone. It waits until a file that is moving has moved. A push waits,
//! with the gates open, until the pull has let go, so no request is held up for a snapshot.

use std::path::Path;
use std::time::{Duration, Instant};

use super::admission::require_no_objection;
use super::participants;
use crate::error::{Busy, Error, Result};
use crate::fence::{Fence, Lock, Phase, Tried};
use crate::holders;
use crate::worker::command::Command;

/// Both locks. They are released when this is dropped.
pub(crate) struct PullLock {
    fence: Option<Fence>,
}

impl PullLock {
    /// Takes the locks. They must be dropped after the database is closed.
    pub(crate) fn take(command: &Command) -> Result<Self> {
        // If the fence cannot be created or locked, there can be no swap either.
        let Ok(fence) = Fence::open(&command.path) else {
            return Ok(Self { fence: None });
        };
        require_no_objection(&fence)?;
        let deadline = Instant::now() + command.timeout();
        while !enter(&fence) {
            if Instant::now() > deadline {
                return Err(busy(&fence, &command.path));
            }
            command.client.check_presence()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        if fence.board().phase == Phase::Moving {
            fence.finish_what_a_dead_worker_began(command.max_pause());
        }
        Ok(Self { fence: Some(fence) })
    }

    /// Tells the user of `--offline` which processes take part.
    pub(crate) fn tell_of_participants(&self, command: &Command) {
        self.fence
            .iter()
            .for_each(|fence| participants::tell(fence, command));
    }

    /// Refuses the pull if a process that writes past SQLite's locks has opened the database in the meantime.
    pub(crate) fn confirm(&self) -> Result<()> {
        self.fence.as_ref().map_or(Ok(()), require_no_objection)
    }
}

/// Runs `look` with the locks, without waiting for them: `None` if a worker wants the members to finish or to close. If
/// `look` has left a thread behind that still has the database open, the worker that waits is let in all the same.
pub(crate) fn glance<T>(fence: &Fence, look: impl FnOnce() -> T) -> Option<T> {
    if fence.board().phase != Phase::Quiet || !enter(fence) {
        return None;
    }
    let seen = look();
    fence.unlock(Lock::Fence);
    fence.unlock(Lock::Straggler);
    Some(seen)
}

/// Takes both locks or none: with only the fence lock, a pull would let a push close the gates, and then be in its
/// way.
fn enter(fence: &Fence) -> bool {
    if fence.try_shared(Lock::Straggler) == Tried::Held {
        return false;
    }
    if fence.try_shared(Lock::Fence) == Tried::Held {
        fence.unlock(Lock::Straggler);
        return false;
    }
    true
}

fn busy(fence: &Fence, database: &Path) -> Error {
    let other = fence
        .exclusive_holder(Lock::Straggler)
        .map_or("another process".into(), |pid| holders::name(pid as u32));
    Busy::Swapping {
        database: database.to_owned(),
        other,
    }
    .into()
}
