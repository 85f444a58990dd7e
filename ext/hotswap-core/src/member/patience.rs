//! Limits how long a worker may keep a member out. After that, the member kills the worker.

use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::fence::{Board, Fence, Lock};
use crate::sys::process;

/// The bound applies to one attempt, from the moment when this process first finds the fence taken in it. Otherwise
/// a process that was stopped for longer would wake up and kill the worker of a later attempt, which is still in
/// time.
#[derive(Debug, Default)]
pub(super) struct Patience {
    waiting: Option<(u64, Instant)>,
    longest: Duration,
    told: bool,
}

impl Patience {
    /// Kills the worker if it has held the fence for longer than `board` allows. `board` has to be read before the
    /// worker was found there. The database is whole afterwards.
    pub(super) fn kill_if_overdue(&mut self, fence: &Fence, board: &Board) {
        self.longest = board.max_pause;
        if !self.ends(board.attempt, board.max_pause, Instant::now()) {
            return;
        }
        let holder = fence.exclusive_holder(Lock::Fence).filter(|pid| *pid > 0);
        // This process may have been stopped since it read `board`, and may have found a worker that came later.
        let now = fence.board();
        let same = (now.attempt, now.max_pause) == (board.attempt, board.max_pause);
        // A process that waits for a disk lets go by itself.
        if let Some(pid) = holder.filter(|pid| same && !process::waits_for_a_disk(*pid)) {
            // After ESRCH or EPERM this process can only go on waiting.
            if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() && !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    target: "hotswap",
                    "killed worker {pid}: it held requests {:.1} s longer than max_pause. The database is whole: \
                     it is the old one or the new one",
                    board.max_pause.as_secs_f64()
                );
            }
        }
    }

    /// How long the worker in the way may hold the fence.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Whether the worker of `attempt`, found in the way at `now`, has been there for longer than it may.
    fn ends(&mut self, attempt: u64, longest: Duration, now: Instant) -> bool {
        match self.waiting {
            Some((same, since)) if same == attempt => now > since + longest,
            _ => {
                self.waiting = Some((attempt, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(500);

    #[test]
    fn a_worker_that_stays_for_longer_than_it_may_is_past_bearing() {
        let begun = Instant::now();
        let mut patience = Patience::default();
        assert!(!patience.ends(7, PAUSE, begun));
        assert!(!patience.ends(7, PAUSE, begun + PAUSE));
        assert!(patience.ends(7, PAUSE, begun + PAUSE + Duration::from_millis(1)));
    }

    #[test]
    fn a_worker_that_has_asked_for_more_time_gets_it() {
        let begun = Instant::now();
        let mut patience = Patience::default();
        assert!(!patience.ends(7, PAUSE, begun));
        assert!(!patience.ends(7, 4 * PAUSE, begun + 3 * PAUSE));
        assert!(patience.ends(7, 4 * PAUSE, begun + 5 * PAUSE));
    }

    #[test]
    fn the_worker_of_a_later_attempt_gets_the_same_time() {
        let begun = Instant::now();
        let mut patience = Patience::default();
        assert!(!patience.ends(7, PAUSE, begun));
        assert!(!patience.ends(8, PAUSE, begun + 10 * PAUSE));
        assert!(!patience.ends(8, PAUSE, begun + 11 * PAUSE));
        assert!(patience.ends(8, PAUSE, begun + 12 * PAUSE));
    }
}
